/** The run in one number: two runs of a seed are the same run if their hashes agree. The last lines are kept to be read. */
const KEPT = 120
/** More lines than any run has at one instant: it turns in a circle, and time will never go on. */
const AT_ONCE_MAX = 100_000

export class Trace {
  #a = 0x811c9dc5
  #b = 0x9747b28c
  lines = 0
  readonly last: string[] = []
  readonly #now: () => number
  readonly #circles: () => void
  #atMono = 0
  #atOnce = 0
  /** Of every line, for who compares two runs. */
  readonly all: string[] | null

  /** `circles`: called when it does not get away from one instant. */
  constructor(now: () => number, keepAll: boolean, circles: () => void) {
    this.#now = now
    this.#circles = circles
    this.all = keepAll ? [] : null
  }
  add(text: string): void {
    const now = this.#now()
    this.#atOnce = now === this.#atMono ? this.#atOnce + 1 : 0
    this.#atMono = now
    if (this.#atOnce === AT_ONCE_MAX) this.#circles()
    const line = `${now.toFixed(3)} ${text}`
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
