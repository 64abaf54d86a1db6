/** Requests being answered: a slot per frame, and a group per append. Shared by identity, so classes and not plain data. */
import { encodeRows } from '#store/rows.ts'
import type { Append } from '#store/store.ts'
import type { Brand, Instant } from '#webhook/webhook.ts'
import { formatInstant } from './instant.ts'
import type { RpcId } from './json-rpc.ts'
import type { Head, Taken } from './new-webhook.ts'

/** One frame: its answers are collected until the last one is there. */
export class Slot {
  readonly #batch: boolean
  #waiting: number
  readonly #answers: string[] = []
  constructor(batch: boolean, items: number) {
    this.#batch = batch
    this.#waiting = items
  }
  /** Null: a notification, which has no answer. True if that was the last one. */
  settle(answer: string | null): boolean {
    if (answer !== null) this.#answers.push(answer)
    this.#waiting -= 1
    return this.#waiting === 0
  }
  /** What goes out; null: nothing. */
  text(): string | null {
    if (this.#answers.length === 0) return null
    return this.#batch ? `[${this.#answers.join(',')}]` : (this.#answers[0] ?? null)
  }
}

/** One request: where its answer goes. */
export interface Asked {
  readonly slot: Slot
  readonly id: RpcId | undefined
}

/** Schedule calls that go to the store as one append: all single calls of a tick, or one `scheduleWebhooks`. */
export class Group {
  readonly asked: Asked[]
  readonly heads: readonly Head[]
  readonly brands: ReadonlySet<Brand>
  /** True: the one request is a `scheduleWebhooks`. */
  readonly many: boolean
  /** Instants asked for, per single call. */
  readonly ats: readonly Instant[]
  readonly startedMono: number
  readonly append: Append
  /** Somebody wants to know when they should start. */
  readonly predict: boolean
  /** Filled in before the append; null: nobody asked, or nobody can say. */
  expected: readonly (Instant | null)[] | null = null
  /** It was under way when the store, or who asks it, was lost: from here on no refusal may say that nothing was done. */
  mayBeStored = false
  readonly #taken: readonly Taken[]

  private constructor(fields: {
    asked: Asked[]
    heads: readonly Head[]
    brands: ReadonlySet<Brand>
    many: boolean
    ats: readonly Instant[]
    startedMono: number
    append: Append
    predict: boolean
    taken: readonly Taken[]
  }) {
    this.asked = fields.asked
    this.heads = fields.heads
    this.brands = fields.brands
    this.many = fields.many
    this.ats = fields.ats
    this.startedMono = fields.startedMono
    this.append = fields.append
    this.predict = fields.predict
    this.#taken = fields.taken
  }

  /** Single calls: `taken[i]` belongs to `asked[i]`. */
  static ofSingles(asked: Asked[], taken: readonly Taken[], startedMono: number): Group {
    const rows = taken.map(({ row }) => row)
    return new Group({
      asked,
      heads: taken.map(({ head }) => head),
      brands: new Set(rows.map((row) => row.brand)),
      many: false,
      ats: rows.map((row) => row.at),
      startedMono,
      append: { type: 'append', count: rows.length, rows: encodeRows(rows) },
      predict: taken.some(({ predict }) => predict),
      taken,
    })
  }

  /** One `scheduleWebhooks`, or a single call that the ingest thread has packed. */
  static ofPacked(
    asked: Asked,
    packed: {
      readonly rows: Uint8Array
      readonly heads: readonly Head[]
      readonly brands: readonly Brand[]
      readonly many: boolean
      readonly predict: boolean
      readonly at: Instant
    },
    startedMono: number,
  ): Group {
    return new Group({
      asked: [asked],
      heads: packed.heads,
      brands: new Set(packed.brands),
      many: packed.many,
      ats: [packed.at],
      startedMono,
      append: { type: 'append', count: packed.heads.length, rows: packed.rows },
      predict: packed.predict,
      taken: [],
    })
  }

  /** For its sender: when the webhook at this place should start; null: not asked, or nobody can say. */
  expectedAt(index: number): Instant | null {
    if (this.expected === null || this.#taken[index]?.predict === false) return null
    return this.expected[index] ?? null
  }

  /** Each single call by itself: where one of them is refused, the others must not be. */
  split(): readonly Group[] {
    return this.asked.flatMap((asked, i) => {
      const taken = this.#taken[i]
      if (taken === undefined) return []
      const single = Group.ofSingles([asked], [taken], this.startedMono)
      single.expected = this.expected === null ? null : [this.expected[i] ?? null]
      single.mayBeStored = this.mayBeStored
      return [single]
    })
  }
}

/** `{ id, state, at, duplicate }` of a webhook that was just stored: ids hold nothing that JSON would escape. */
export const scheduledText = (id: string, at: Instant, expectedAt: Instant | null): string =>
  `{"id":"${id}","state":"scheduled","at":"${formatInstant(at)}"${expectedText(expectedAt)},"duplicate":false}`

const expectedText = (at: Instant | null): string => (at === null ? '' : `,"expectedAt":"${formatInstant(at)}"`)

/** `expected` null: nobody asked. */
export const scheduledManyText = (
  ids: readonly string[],
  duplicates: readonly boolean[],
  expected: readonly (Instant | null)[] | null,
): string => {
  const told = expected?.map((at) => (at === null ? 'null' : `"${formatInstant(at)}"`))
  const tail = told === undefined ? '' : `,"expectedAt":[${told.join(',')}]`
  return `{"ids":["${ids.join('","')}"],"duplicates":[${duplicates.join(',')}]${tail}}`
}
