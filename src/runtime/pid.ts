/** An address of one process; equality is identity; never used twice (OTP-P2). */
export class Pid {
  readonly id: number
  constructor(id: number) {
    this.id = id
  }
  toString(): string {
    return `<${this.id}>`
  }
}

/** An address that is looked up at each use, in a registry of somebody's own (OTP-N4): `whereis` a live pid, or null. */
export abstract class Via extends Pid {
  constructor() {
    super(-1)
  }
  abstract whereis(): Pid | null
  /** Takes the address for a process that starts under it; false if it is taken. `process` is the runtime's. */
  abstract register(process: object): boolean
}
