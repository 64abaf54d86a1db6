/**
 * `node bench/store-writer.ts [--against <checkout>] [--count n] [--group n] [--pairs n] [--only part]`
 * The store's writer alone, without its threads and wires: CPU and wall microseconds per webhook of the parts of its life, in
 * groups as a delivery makes them. `--against` runs another checkout in turns with this one (A B A B); only ratios of such a
 * run are worth quoting.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import type { encodeRows } from '#store/rows.ts'
import type { dataFiles } from '#store/sqlite/data-files.ts'
import type { Writer } from '#store/sqlite/writer.ts'
import type { NewWebhook, ReadResult, WriteOp } from '#store/store.ts'
import type { Due } from '#webhook/webhook.ts'
import { BODY_TEXT } from './load.ts'
import { median } from './stats.ts'

const { values } = parseArgs({
  options: {
    against: { type: 'string' },
    count: { type: 'string', default: '20000' },
    group: { type: 'string', default: '32' },
    pairs: { type: 'string', default: '3' },
    only: { type: 'string' },
    root: { type: 'string' },
  },
})
const COUNT = Number(values.count)
const GROUP = Number(values.group)
const PARTS = ['append due', 'deliver', 'append far', 'append single'] as const
type Part = (typeof PARTS)[number]
/** Microseconds per webhook. */
interface Cost {
  readonly cpu: number
  readonly wall: number
}
type Costs = Partial<Record<Part, Cost>>
const isWanted = (part: Part): boolean => values.only === undefined || values.only === part

const T0 = 1_800_000_000_000
const CHECKPOINT_EACH_BYTES = 4_194_304
const OPEN = 100
let next = 0
const webhook = (at: number, isKeyed: boolean): NewWebhook => {
  next += 1
  return {
    id: `msg_01K${String(next).padStart(23, '0')}`,
    brand: 'default',
    name: null,
    url: 'http://127.0.0.1:40001/bench',
    host: '127.0.0.1:40001',
    domain: '127.0.0.1:40001',
    method: 'POST',
    priority: 'normal',
    at,
    nextAt: at,
    createdAt: T0 - 1_000,
    timeoutMs: 30_000,
    expiresAt: null,
    retry: null,
    tags: [],
    idempotencyKey: isKeyed ? `key-${next}` : null,
    contentHash: isKeyed ? Buffer.alloc(32, next & 0xff) : null,
    request: Buffer.from(BODY_TEXT.padEnd(480, ' ')),
  }
}
const markOf = ({ id, seq }: Due): WriteOp => {
  return { type: 'mark-started', id, seq, attempt: 1, token: `mb1k2j3h4.${seq}`, startedAt: T0 }
}
const outcomeOf = ({ id, seq }: Due): WriteOp => {
  const measured = { timerMs: 1, guardMs: 250, networkMs: 2.345 }
  const answered = { status: 200, error: null, excerpt: Buffer.from('ok'), inDoubt: false }
  const attempt = { number: 1, startedAt: T0, endedAt: T0 + 3, ...answered, ...measured }
  const next = { state: 'delivered', finishedAt: T0 + 4 } as const
  return { type: 'record-outcome', id, seq, token: `mb1k2j3h4.${seq}`, attempt, next }
}

/** The writer of one checkout in a fresh folder. */
const measureHere = async (root: string): Promise<Costs> => {
  const load = async <Module>(file: string): Promise<Module> => import(pathToFileURL(join(root, file)).href)
  const here = await load<{ Writer: typeof Writer }>('src/store/sqlite/writer.ts')
  const files = await load<{ dataFiles: typeof dataFiles }>('src/store/sqlite/data-files.ts')
  const rows = await load<{ encodeRows: typeof encodeRows }>('src/store/rows.ts')
  const dir = mkdtempSync(join(tmpdir(), 'hookpulse-writer-'))
  const writer = new here.Writer(files.dataFiles(dir))
  let written = 0
  const write = (group: readonly WriteOp[]): void => {
    const run = writer.run(group)
    let step = run.next()
    while (step.done !== true) step = run.next()
    written += writer.takeWritten()
    if (written > CHECKPOINT_EACH_BYTES) {
      writer.finishCheckpoint()
      written = 0
    }
    for (const result of step.value) if ('ok' in result && !result.ok) throw new Error(JSON.stringify(result))
  }
  const batches = (count: number, size: number, at: () => number, isKeyed: boolean): WriteOp[] =>
    Array.from({ length: Math.ceil(count / size) }, () => {
      const some = Array.from({ length: size }, () => webhook(at(), isKeyed))
      return { type: 'append', count: size, rows: rows.encodeRows(some) } as const
    })
  const horizon = (limit: number): readonly Due[] => {
    const query = { type: 'horizon', after: { nextAt: 0, seq: 0 }, until: T0, limit, except: [] } as const
    return (writer.read(query) as ReadResult<typeof query>).rows
  }
  /** As on the way: marks, and the outcomes of a hundred that are open, mixed. */
  const deliver = (dues: readonly Due[]): void => {
    const ops: WriteOp[] = []
    for (let i = 0; i < dues.length + OPEN; i++) {
      const [starting, ending] = [dues[i], dues[i - OPEN]]
      if (starting !== undefined) ops.push(markOf(starting))
      if (ending !== undefined) ops.push(outcomeOf(ending))
      if (ops.length >= GROUP) write(ops.splice(0))
    }
    write(ops)
  }
  const deliverAll = (): void => {
    for (let dues = horizon(500); dues.length > 0; dues = horizon(500)) deliver(dues)
  }
  const aDayAhead = (): number => T0 + 86_400_000 + Math.floor(Math.random() * 86_400_000)
  const costs: Costs = {}
  const measure = (part: Part, webhooks: number, body: () => void): void => {
    const cpu = process.cpuUsage()
    const startMono = performance.now()
    body()
    const { user, system } = process.cpuUsage(cpu)
    costs[part] = { cpu: (user + system) / webhooks, wall: ((performance.now() - startMono) * 1_000) / webhooks }
  }

  horizon(1)
  for (const op of batches(2_000, 1_000, () => T0, false)) write([op])
  deliverAll()
  const due = batches(COUNT, 1_000, () => T0, false)
  measure('append due', COUNT, () => {
    for (const op of due) write([op])
  })
  measure('deliver', COUNT, deliverAll)
  if (isWanted('append far')) {
    const far = batches(COUNT, 1_000, aDayAhead, true)
    measure('append far', COUNT, () => {
      for (const op of far) write([op])
    })
  }
  if (isWanted('append single')) {
    const single = batches(COUNT / 4, 1, aDayAhead, true)
    measure('append single', single.length, () => {
      while (single.length > 0) write(single.splice(0, 16))
    })
  }
  writer.close()
  rmSync(dir, { recursive: true, force: true })
  return costs
}

const measureThere = (root: string): Costs => {
  const only = values.only === undefined ? [] : ['--only', values.only]
  const args = ['--root', root, '--count', values.count, '--group', values.group, ...only]
  return JSON.parse(execFileSync(process.execPath, [import.meta.filename, ...args], { encoding: 'utf8' }))
}
const compare = (): void => {
  const own = join(import.meta.dirname, '..')
  const roots = values.against === undefined ? [own] : [own, values.against]
  const runs = roots.map((): Costs[] => [])
  for (let pair = 0; pair < Number(values.pairs); pair++)
    for (const [i, root] of roots.entries()) runs[i]?.push(measureThere(root))
  for (const part of PARTS.filter((name) => runs[0]?.[0]?.[name] !== undefined)) {
    const of = (what: keyof Cost) => runs.map((costs) => median(costs.map((cost) => cost[part]?.[what] ?? Number.NaN)))
    const [[cpu = 0, otherCpu], [wall = 0]] = [of('cpu'), of('wall')]
    const ratio = otherCpu === undefined ? '' : `; ${(cpu / otherCpu).toFixed(2)} of the other's ${otherCpu.toFixed(1)}`
    process.stdout.write(`${part.padEnd(14)} ${cpu.toFixed(1)} us CPU, ${wall.toFixed(1)} us wall${ratio}\n`)
  }
}

if (values.root === undefined) compare()
else process.stdout.write(JSON.stringify(await measureHere(values.root)))
