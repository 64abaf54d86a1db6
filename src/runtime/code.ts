/**
 * The code table (OTP-C2): a process does not hold its callbacks but a slot, and looks them up in it at each dispatch.
 * Behaviours are objects; two objects of one name that nobody has loaded as versions of each other have a slot each.
 */
import type { ExitReason } from './exit.ts'

/** A Behaviour without its types, as the runtime sees it. */
export interface Code {
  readonly name: string
  readonly version: number
  readonly mailbox?: { readonly max: number; readonly policy: 'drop' | 'crash' }
  init(args: never, ctx: never): unknown
  readonly call?: object
  readonly cast?: object
  info?(message: never, state: never, ctx: never): unknown
  continue?(message: never, state: never, ctx: never): unknown
  terminate?(reason: ExitReason, state: never, ctx: never): unknown
  codeChange?(from: { readonly version: number; readonly down: boolean }, state: unknown, extra: unknown): unknown
  formatStatus?(state: never): unknown
}

export class CodeSlot {
  current: Code
  old: Code | null = null
  constructor(code: Code) {
    this.current = code
  }
}

export class CodeTable {
  private readonly byObject = new WeakMap<Code, CodeSlot>()
  private readonly byName = new Map<string, Set<CodeSlot>>()

  /**
   * Makes this the current version of its name; the next callback of every process of that name runs it, with the state as it is. What was
   * current becomes old, what was old is returned: whoever still runs it must go (OTP-C1).
   */
  load(code: Code): { readonly slots: readonly CodeSlot[]; readonly purged: readonly Code[] } {
    const slots = [...(this.byName.get(code.name) ?? [this.slotOf(code)])]
    const purged: Code[] = []
    for (const slot of slots) {
      if (slot.current === code) continue
      if (slot.old !== null) purged.push(slot.old)
      slot.old = slot.current
      slot.current = code
    }
    const [first] = slots
    if (first !== undefined) this.byObject.set(code, first)
    return { slots, purged }
  }

  /** The slot of this behaviour; a restart with an old object therefore gets the newest loaded version. */
  slotOf(code: Code): CodeSlot {
    const known = this.byObject.get(code)
    if (known !== undefined) return known
    const slot = new CodeSlot(code)
    this.byObject.set(code, slot)
    const slots = this.byName.get(code.name)
    if (slots === undefined) this.byName.set(code.name, new Set([slot]))
    else slots.add(slot)
    return slot
  }
}

/** What a codeChange returns that cannot migrate this state; the process keeps it (OTP-C5). */
export class CodeChangeRefused {
  readonly why: unknown
  constructor(why: unknown) {
    this.why = why
  }
}
