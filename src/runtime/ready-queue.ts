import type { Process } from './process.ts'

/** The run queue: a ring of processes that have something to do, each at most once. */
export class ReadyQueue {
  private slots: (Process | undefined)[] = new Array(64)
  private head = 0
  length = 0

  push(process: Process): void {
    if (this.length === this.slots.length) this.grow()
    this.slots[(this.head + this.length) & (this.slots.length - 1)] = process
    this.length += 1
  }
  shift(): Process | undefined {
    const process = this.slots[this.head]
    this.slots[this.head] = undefined
    this.head = (this.head + 1) & (this.slots.length - 1)
    this.length -= 1
    return process
  }
  /** Brings the process at `index` to the head, and the head to its place (a seeded permutation, OTP-S2). */
  swapToHead(index: number): void {
    const mask = this.slots.length - 1
    const at = (this.head + index) & mask
    const chosen = this.slots[at]
    this.slots[at] = this.slots[this.head]
    this.slots[this.head] = chosen
  }

  private grow(): void {
    const slots = new Array<Process | undefined>(this.slots.length * 2)
    for (let i = 0; i < this.length; i++) slots[i] = this.slots[(this.head + i) & (this.slots.length - 1)]
    this.slots = slots
    this.head = 0
  }
}
