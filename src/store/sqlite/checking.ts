/** Looks for damage and for books that do not balance. Reads everything: for `check`, for backups, and after boot (D-26). */
import { isWhole } from '#store/row-codec.ts'
import type { Connection } from './connection.ts'
import { STORED_STATES } from './state-code.ts'

const PROBLEMS_TOLD_MAX = 20

/** Each answers with the number of rows that break the law. */
const LAWS: readonly (readonly [law: string, sql: string])[] = [
  [
    'webhooks that are not in exactly one of far, live and done',
    `SELECT count(*) FROM webhooks w WHERE 1 <>
       (SELECT count(*) FROM live WHERE seq = w.seq) + (SELECT count(*) FROM done WHERE seq = w.seq) +
       (w.seq IN (SELECT seq FROM far))`,
  ],
  [
    'rows of far, live and done without a webhook',
    `SELECT count(*) FROM (SELECT seq FROM far UNION ALL SELECT seq FROM live UNION ALL SELECT seq FROM done)
       WHERE seq NOT IN (SELECT seq FROM webhooks)`,
  ],
  [
    'idempotency keys without a webhook',
    'SELECT count(*) FROM idempotency WHERE seq NOT IN (SELECT seq FROM webhooks)',
  ],
  ['attempts without a webhook', 'SELECT count(*) FROM attempts WHERE seq NOT IN (SELECT seq FROM webhooks)'],
  ['webhooks of no lane', 'SELECT count(*) FROM webhooks WHERE lane NOT IN (SELECT lane FROM lanes)'],
]
/** What the counters should say. Rows of an open batch are not counted yet. */
const COUNTED = `
  SELECT state, count(*) AS n FROM (
    SELECT seq, CASE WHEN started_at IS NOT NULL THEN 1 WHEN attempts = 0 THEN 0 ELSE 2 END AS state FROM live
    UNION ALL SELECT seq, 0 FROM far UNION ALL SELECT seq, state FROM done) l
  WHERE NOT EXISTS (SELECT 1 FROM open_batches b WHERE l.seq BETWEEN b.first AND b.last) GROUP BY state`

/** One line a problem, at most 20; empty is good. Within one transaction the answer is of one instant. */
export const problemsOf = (db: Connection): string[] =>
  [...pageProblems(db), ...lawProblems(db), ...counterProblems(db), ...rowProblems(db)].slice(0, PROBLEMS_TOLD_MAX)

const pageProblems = (db: Connection): string[] => {
  const lines = db.prepare<[], string>(`PRAGMA quick_check(${PROBLEMS_TOLD_MAX})`).pluck().all()
  return lines.filter((line) => line !== 'ok')
}
const lawProblems = (db: Connection): string[] =>
  LAWS.flatMap(([law, sql]) => {
    const broken = db.prepare<[], number>(sql).pluck().get() ?? 0
    return broken === 0 ? [] : [`${broken} ${law}`]
  })

type StateCount = readonly [state: number, n: number]
const counterProblems = (db: Connection): string[] => {
  const read = (sql: string) => new Map(db.prepare<[], StateCount>(sql).raw().all())
  const [told, found] = [read('SELECT state, sum(n) FROM counters GROUP BY state'), read(COUNTED)]
  return STORED_STATES.flatMap((state, code) => {
    const [said, is] = [told.get(code) ?? 0, found.get(code) ?? 0]
    return said === is ? [] : [`the counter of ${state} says ${said}, there are ${is}`]
  })
}
const rowProblems = (db: Connection): string[] => {
  const problems: string[] = []
  const rows = db.prepare<[], readonly [id: string, row: Buffer]>('SELECT id, row FROM webhooks').raw()
  for (const [id, row] of rows.iterate()) if (!isWhole(row)) problems.push(`webhook ${id} is damaged`)
  return problems
}
