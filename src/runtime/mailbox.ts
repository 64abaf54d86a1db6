/** What a queued message is. A call carries its Request instead. */
export class Meta {
  readonly label: string
  constructor(label: string) {
    this.label = label
  }
}
export const CAST = new Meta('cast')
export const INFO = new Meta('info')
export const SYSTEM = new Meta('system')

const SLOTS_MIN = 16

/**
 * A ring buffer of (message, meta) pairs, in arrival order, unbounded (OTP-R1). Two slots a message and no object of its own.
 * `removeAt` is for selective receive only (OTP-R2).
 */
export class Mailbox {
  private slots: unknown[] = new Array(SLOTS_MIN)
  private head = 0
  length = 0

  push(message: unknown, meta: object): void {
    if (this.length * 2 === this.slots.length) this.resize(this.slots.length * 2)
    const at = (this.head + this.length * 2) & (this.slots.length - 1)
    this.slots[at] = message
    this.slots[at + 1] = meta
    this.length += 1
  }
  /** The meta of the first message; only on a mailbox that has one. */
  headMeta(): unknown {
    return this.slots[this.head + 1]
  }
  shift(): unknown {
    const { slots, head } = this
    const message = slots[head]
    slots[head] = undefined
    slots[head + 1] = undefined
    this.head = (head + 2) & (slots.length - 1)
    this.length -= 1
    if (this.length === 0 && slots.length > 1024) this.reset()
    return message
  }
  messageAt(index: number): unknown {
    return this.slots[(this.head + index * 2) & (this.slots.length - 1)]
  }
  metaAt(index: number): unknown {
    return this.slots[((this.head + index * 2) & (this.slots.length - 1)) + 1]
  }
  /** Takes out the message at `index` (0 is the head); the others keep their order. */
  removeAt(index: number): unknown {
    const message = this.messageAt(index)
    const meta = this.metaAt(index)
    for (let i = index; i > 0; i--) this.put(i, this.messageAt(i - 1), this.metaAt(i - 1))
    this.put(0, message, meta)
    return this.shift()
  }

  private put(index: number, message: unknown, meta: unknown): void {
    const at = (this.head + index * 2) & (this.slots.length - 1)
    this.slots[at] = message
    this.slots[at + 1] = meta
  }
  private resize(size: number): void {
    const { slots: old, head } = this
    const mask = old.length - 1
    const slots = new Array(size)
    for (let i = 0; i < this.length * 2; i++) slots[i] = old[(head + i) & mask]
    this.slots = slots
    this.head = 0
  }
  /** A burst is over: give its memory back. */
  private reset(): void {
    this.slots = new Array(SLOTS_MIN)
    this.head = 0
  }
}
