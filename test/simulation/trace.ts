/** The run in one number: two runs of a seed are the same run if their hashes agree. The last lines are kept to be read. */
const KEPT = 120

export class Trace {
  #a = 0x811c9dc5
  #b = 0x9747b28c
  lines = 0
  readonly last: string[] = []
  readonly #now: () => number
  /** Of every line, for who compares two runs. */
  readonly all: string[] | null

  constructor(now: () => number, keepAll = false) {
    this.#now = now
    this.all = keepAll ? [] : null
  }
  add(text: string): void {
    const line = `${this.#now().toFixed(3)} ${text}`
    for (let i = 0; i < line.length; i++) {
      const code = line.charCodeAt(i)
      this.#a = Math.imul(this.#a ^ code, 0x01000193)
      this.#b = Math.imul(this.#b ^ code, 0x85ebca6b)
    }
    this.lines += 1
    this.all?.push(line)
    this.last.push(line)
    if (this.last.length > KEPT * 2) this.last.splice(0, KEPT)
  }
  get hash(): string {
    return `${(this.#a >>> 0).toString(16).padStart(8, '0')}${(this.#b >>> 0).toString(16).padStart(8, '0')}`
  }
}
