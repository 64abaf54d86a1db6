/**
 * Looks for damage and for books that do not balance. Reads everything: for `check`, for backups, and after boot (D-26).
 * In steps, so that who runs it beside other work can do that in between; each law is of one instant, all of them are not.
 */
import { firstNextAtOf, isWhole } from '#store/row-codec.ts'
import { unpackAttempt } from './attempt-codec.ts'
import { type Connection, storeErrorOf } from './connection.ts'
import { bucketOf } from './far-rows.ts'
import { showAsNow } from './schema.ts'
import { STORED_STATES } from './state-code.ts'

const PROBLEMS_TOLD_MAX = 20

/** Each answers with the number of rows that break the law. */
const LAWS: readonly (readonly [law: string, sql: string])[] = [
  ['rows of far without a webhook', 'SELECT count(*) FROM far WHERE seq NOT IN (SELECT seq FROM webhooks)'],
  ['rows of live without a webhook', 'SELECT count(*) FROM live WHERE seq NOT IN (SELECT seq FROM webhooks)'],
  ['rows of done without a webhook', 'SELECT count(*) FROM done WHERE seq NOT IN (SELECT seq FROM webhooks)'],
  [
    'rows of far that are in live or done too',
    `SELECT count(*) FROM far WHERE EXISTS (SELECT 1 FROM live WHERE seq = far.seq)
       OR EXISTS (SELECT 1 FROM done WHERE seq = far.seq)`,
  ],
  [
    'idempotency keys without a webhook',
    'SELECT count(*) FROM idempotency WHERE seq NOT IN (SELECT seq FROM webhooks)',
  ],
  ['attempts without a webhook', 'SELECT count(*) FROM attempts WHERE seq NOT IN (SELECT seq FROM webhooks)'],
  ['rows of started that are not live', 'SELECT count(*) FROM started WHERE seq NOT IN (SELECT seq FROM live)'],
  ['webhooks of no lane', 'SELECT count(*) FROM webhooks WHERE lane NOT IN (SELECT lane FROM lanes)'],
]
/** What the counters should say. Rows of an open batch are not counted yet. */
const COUNTED = `
  SELECT state, count(*) AS n FROM (
    SELECT live.seq, CASE WHEN started.seq IS NOT NULL THEN 1 WHEN attempts = 0 THEN 0 ELSE 2 END AS state
      FROM live LEFT JOIN started ON started.seq = live.seq
    UNION ALL SELECT seq, 0 FROM far UNION ALL SELECT seq, state FROM done) l
  WHERE NOT EXISTS (SELECT 1 FROM open_batches b WHERE l.seq BETWEEN b.first AND b.last) GROUP BY state`

/** One line a problem, at most 20; empty is good. In one go, of a file that nobody writes, of this release or an earlier one. */
export const problemsOf = (db: Connection): string[] => {
  showAsNow(db)
  const run = checking(db, true)
  let step = run.next()
  while (step.done !== true) step = run.next()
  return step.value
}

/** As `problemsOf`, pausing after each table, law and page of rows: the longest step is the pages of the largest table. */
export function* checking(db: Connection, wholeFile = false): Generator<void, string[]> {
  const problems: string[] = []
  try {
    for (const step of stepsOf(db, wholeFile)) {
      problems.push(...step())
      if (problems.length >= PROBLEMS_TOLD_MAX) break
      yield
    }
  } catch (error) {
    const known = storeErrorOf(error, db.name)
    if (known.code !== 'corrupt') throw error
    problems.push(known.message)
  }
  return problems.slice(0, PROBLEMS_TOLD_MAX)
}

type Step = () => string[]
function* stepsOf(db: Connection, wholeFile: boolean): Generator<Step, void> {
  let isWell = true
  const tables = db.prepare<[], string>(`SELECT name FROM sqlite_schema WHERE type = 'table'`).pluck()
  for (const of of wholeFile ? [String(PROBLEMS_TOLD_MAX)] : tables.all())
    yield () => {
      const found = pageProblems(db, of)
      isWell &&= found.length === 0
      return found
    }
  // Nothing is worth asking of pages that are damaged.
  if (!isWell) return
  for (const law of LAWS) yield () => lawProblems(db, law)
  yield db.transaction(() => counterProblems(db))
  const readPage = rowReader(db)
  let after: number | null = 0
  while (after !== null)
    yield () => {
      const page: Page = readPage(after ?? 0)
      after = page.next
      return page.problems
    }
}

const pageProblems = (db: Connection, of: string): string[] => {
  const lines = db.prepare<[], string>(`PRAGMA quick_check(${of})`).pluck().all()
  return lines.filter((line) => line !== 'ok')
}
const lawProblems = (db: Connection, [law, sql]: (typeof LAWS)[number]): string[] => {
  const broken = db.prepare<[], number>(sql).pluck().get() ?? 0
  return broken === 0 ? [] : [`${broken} ${law}`]
}

type StateCount = readonly [state: number, n: number]
const counterProblems = (db: Connection): string[] => {
  const read = (sql: string) => new Map(db.prepare<[], StateCount>(sql).raw().all())
  const [told, found] = [read('SELECT state, sum(n) FROM counters GROUP BY state'), read(COUNTED)]
  return STORED_STATES.flatMap((state, code) => {
    const [said, is] = [told.get(code) ?? 0, found.get(code) ?? 0]
    return said === is ? [] : [`the counter of ${state} says ${said}, there are ${is}`]
  })
}

interface Page {
  readonly problems: string[]
  readonly next: number | null
}
type BodyRow = readonly [seq: number, id: string, row: Buffer, places: number, lastAttempt: Buffer | null]
/** A page of webhooks at one instant: each is whole, and in exactly one of far, live and done. */
const rowReader = (db: Connection): ((after: number) => Page) => {
  const read = db
    .prepare<[number, number], BodyRow>(
      `SELECT seq, id, row, (SELECT count(*) FROM live WHERE seq = w.seq) + (SELECT count(*) FROM done WHERE seq = w.seq),
         (SELECT attempt FROM done WHERE seq = w.seq)
       FROM webhooks w WHERE seq > ? AND NOT EXISTS (SELECT 1 FROM open_batches b WHERE w.seq BETWEEN b.first AND b.last)
       ORDER BY seq LIMIT ?`,
    )
    .raw()
  const isFar = db.prepare<[number, number], number>('SELECT 1 FROM far WHERE bucket = ? AND seq = ?').pluck()
  const problemOf = ([seq, id, row, places, lastAttempt]: BodyRow): string[] => {
    if (!isWhole(row)) return [`webhook ${id} is damaged`]
    if (lastAttempt !== null && unpackAttempt(lastAttempt) === null) return [`the last attempt of ${id} is damaged`]
    if (places === 1 || (places === 0 && isFar.get(bucketOf(firstNextAtOf(row)), seq) === 1)) return []
    return [`webhook ${id} is in ${places === 0 ? 'none' : 'more than one'} of far, live and done`]
  }
  return db.transaction((after: number): Page => {
    const rows = read.all(after, ROWS_OF_STEP)
    return {
      problems: rows.flatMap(problemOf),
      next: rows.length < ROWS_OF_STEP ? null : (rows.at(-1)?.[0] ?? null),
    }
  })
}
const ROWS_OF_STEP = 1_000
