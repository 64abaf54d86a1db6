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
