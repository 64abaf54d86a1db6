/**
 * The one connection that writes. Synchronous: a group runs as a generator that pauses between transactions, so that its
 * thread can serve what is more urgent in between; no transaction lasts longer than about 5 ms (D-16).
 */
import { APPEND_CHUNK_ROWS, WRITER_CACHE_KIB } from '#config/limits.ts'
import { BadRow } from '#store/row-codec.ts'
import { bufferOf } from '#store/rows.ts'
import {
  type Append,
  type Appended,
  type GroupSet,
  isPromised,
  type ReadQuery,
  type ReadResult,
  type Replay,
  type Replayed,
  type SetGroup,
  StoreError,
  type WriteOp,
  type WriteResult,
} from '#store/store.ts'
import { Appending, BatchInTheWay, Inserter } from './appending.ts'
import { AttemptRows } from './attempt-rows.ts'
import { BUSY_TIMEOUT_MS, type Connection, openConnection, storeErrorOf } from './connection.ts'
import { CounterChanges } from './counters.ts'
import { checkFiles, type DataFiles, markClosed, markOpened } from './data-files.ts'
import { DomainGroups } from './domain-groups.ts'
import { DueReads } from './due-reads.ts'
import { Expirer } from './expiring.ts'
import { FarRows } from './far-rows.ts'
import { LaneBook } from './lane-book.ts'
import { LiveRows } from './live-rows.ts'
import { OpenBatches } from './open-batches.ts'
import { Pruner } from './pruning.ts'
import { Retimer } from './retiming.ts'
import { checkOwner, migrate } from './schema.ts'
import { Settings } from './settings.ts'
import { Starts } from './starts.ts'
import { type Remembered, Transactions } from './transactions.ts'
import type { WriterRead } from './writer-reads.ts'

export type Results = WriteResult<WriteOp>[]

export class Writer {
  readonly #files: DataFiles
  readonly #db: Connection
  readonly #lanes: LaneBook
  readonly #far: FarRows
  readonly #inserter: Inserter
  readonly #starts: Starts
  readonly #live: LiveRows
  readonly #retimer: Retimer
  readonly #settings: Settings
  readonly #groups: DomainGroups
  readonly #expirer: Expirer
  readonly #pruner: Pruner
  readonly #reads: DueReads
  readonly #changes = new CounterChanges()
  readonly #remembered: Remembered
  readonly #transactions: Transactions
  readonly #batches: OpenBatches
  readonly #failpoint: (name: string) => void

  /** Migrates and recovers. Throws StoreError. */
  constructor(files: DataFiles, failpoint: (name: string) => void = () => undefined) {
    this.#failpoint = failpoint
    checkFiles(files)
    markClosed(files)
    this.#files = files
    const db = openConnection(files.database, WRITER_CACHE_KIB, checkOwner)
    this.#db = db
    try {
      migrate(db)
      this.#remembered = {
        nextSeq: nextSeqOf(db),
        forget: () => {
          this.#lanes.forget()
          this.#far.reload()
          this.#starts.reload()
        },
      }
      this.#transactions = new Transactions(db, files.database, this.#remembered, failpoint)
      const isOpen = (seq: number): boolean => this.#batches.has(seq)
      this.#groups = new DomainGroups(db)
      this.#lanes = new LaneBook(db, this.#groups)
      this.#far = new FarRows(db)
      this.#inserter = new Inserter(db, this.#lanes, this.#far, isOpen)
      this.#batches = new OpenBatches(db, this.#transactions, this.#remembered, this.#inserter)
      this.#starts = new Starts(db)
      const attempts = new AttemptRows(db)
      this.#live = new LiveRows(db, this.#lanes, this.#far, this.#starts, attempts, isOpen)
      this.#retimer = new Retimer(db, this.#lanes, this.#far, this.#starts, attempts, isOpen)
      this.#settings = new Settings(db)
      this.#expirer = new Expirer(db, this.#lanes)
      this.#pruner = new Pruner(db, this.#lanes, this.#settings)
      this.#reads = new DueReads(db, this.#lanes)
      this.#recover()
      markOpened(files)
    } catch (error) {
      db.close()
      throw storeErrorOf(error, files.database)
    }
  }

  /** Runs a group. Pauses after each transaction. Throws StoreError; BatchInTheWay if it must wait for an open batch. */
  *run(ops: readonly WriteOp[]): Generator<void, Results> {
    const results: Results = []
    yield* this.#batches.clear()
    let from = 0
    while (from < ops.length) {
      const op = ops[from]
      if (op?.type === 'append' && op.count > APPEND_CHUNK_ROWS) {
        results.push(yield* this.#appendInChunks(op, from))
        from += 1
      } else {
        const end = endOfChunk(ops, from)
        this.#applyTogether(ops, from, end, results)
        from = end
      }
      yield
    }
    return results
  }

  /**
   * Moves some of the hours that the query reaches into; true if there is more to move. Boot after a long absence may reach
   * into many: then others are served between two steps (D-16). Throws StoreError.
   */
  prepare(query: WriterRead): boolean {
    try {
      if (query.type === 'horizon') return this.#prepareHorizon(query)
      if (query.type === 'lane') return this.#prepareUntil(query.until)
      return query.type === 'due-lanes' && this.#prepareUntil(query.now)
    } catch (error) {
      throw storeErrorOf(error, this.#files.database)
    }
  }
  /** Exact without `prepare` too, in one go. Throws StoreError. */
  read(query: WriterRead): ReadResult<WriterRead> {
    try {
      return this.#answer(query)
    } catch (error) {
      throw storeErrorOf(error, this.#files.database)
    }
  }
  /** Something worth doing in an idle moment; true if there is more of it. Throws StoreError. */
  tidy(): boolean {
    if (this.#far.lags) this.#promotePage()
    return this.#far.lags
  }
  takeWritten(): number {
    return this.#transactions.takeWritten()
  }
  /** Finishes a checkpoint that the maintenance connection has nearly done, so that the WAL starts anew. */
  finishCheckpoint(): void {
    try {
      this.#db.pragma('wal_checkpoint(PASSIVE)')
    } catch (error) {
      throw storeErrorOf(error, this.#files.database)
    }
  }
  /** Empties the file of a log that is wholly in the database; not while a reader stands in the way, whom nobody waits for. */
  truncateLog(): void {
    try {
      this.#db.pragma('busy_timeout = 0')
      this.#db.pragma('wal_checkpoint(TRUNCATE)')
    } catch (error) {
      throw storeErrorOf(error, this.#files.database)
    } finally {
      this.#db.pragma(`busy_timeout = ${BUSY_TIMEOUT_MS}`)
    }
  }
  /** The maintenance connection must be closed before. */
  close(): void {
    try {
      this.#failpoint('store.checkpoint')
      this.#db.pragma('wal_checkpoint(TRUNCATE)')
      this.#failpoint('store.checkpointed')
    } finally {
      markClosed(this.#files)
      this.#db.close()
    }
  }

  #answer(query: WriterRead): ReadResult<WriterRead> {
    switch (query.type) {
      case 'horizon':
        return this.#horizon(query)
      case 'lane':
        this.#reach(query.until)
        return this.#reads.lane(query)
      case 'due-lanes':
        this.#reach(query.now)
        return this.#reads.dueLanes(query)
      case 'started':
        return this.#reads.started(query)
      case 'limits':
        return this.#settings.limits()
      case 'groups':
        return this.#groups.groups()
      case 'brands':
        return this.#settings.brands()
      case 'keys':
        return this.#settings.keys()
      default:
        return query satisfies never
    }
  }
  #horizon(query: Extract<ReadQuery, { type: 'horizon' }>): ReadResult<typeof query> {
    while (this.#prepareHorizon(query));
    return this.#reads.horizon(query)
  }
  #reach(until: number): void {
    while (this.#prepareUntil(until));
  }
  /** Moves hours only as far as the page needs them. */
  #prepareHorizon(query: Extract<ReadQuery, { type: 'horizon' }>): boolean {
    this.#far.aim(query.until)
    if (!this.#far.reaches(query.until)) return false
    const { edge } = this.#reads.horizon(query)
    for (let pages = 0; pages < PAGES_PER_STEP && this.#far.reaches(edge.nextAt); pages++) this.#promotePage()
    return this.#far.reaches(edge.nextAt)
  }
  #prepareUntil(until: number): boolean {
    this.#far.aim(until)
    for (let pages = 0; pages < PAGES_PER_STEP && this.#far.reaches(until); pages++) this.#promotePage()
    return this.#far.reaches(until)
  }
  #promotePage(): void {
    this.#transactions.run('NORMAL', null, () => this.#far.promotePage())
    this.#transactions.written += 32_768
  }

  #applyTogether(ops: readonly WriteOp[], from: number, end: number, results: Results): void {
    let at = from
    const before = results.length
    const promised = ops.slice(from, end).some(isPromised)
    try {
      const what = ops[from]?.type
      this.#transactions.run(
        promised ? 'FULL' : 'NORMAL',
        this.#changes,
        () => {
          for (at = from; at < end; at++) {
            const op = ops[at]
            if (op !== undefined) results.push(this.#apply(op))
          }
        },
        what,
      )
    } catch (error) {
      results.length = before
      throw this.#blame(error, at)
    }
  }
  #apply(op: WriteOp): WriteResult<WriteOp> {
    this.#transactions.written += OP_BYTES
    switch (op.type) {
      case 'append':
        return this.#append(op)
      case 'mark-started':
        return this.#live.markStarted(op, this.#changes)
      case 'mark-alone':
        return this.#live.markAlone(op)
      case 'record-outcome':
        return this.#live.recordOutcome(op, this.#changes)
      case 'hand-back':
        return this.#live.handBack(op, this.#changes)
      case 'cancel':
        return this.#live.cancel(op, this.#changes)
      case 'reschedule':
        return this.#retimer.reschedule(op)
      case 'replay':
        return this.#replay(op)
      case 'set-limit':
        return this.#settings.setLimit(op)
      case 'set-group':
        return this.#setGroup(op)
      case 'put-brand':
        return this.#settings.putBrand(op)
      case 'put-key':
        return this.#settings.putKey(op)
      case 'expire':
        return this.#expirer.expire(op, this.#changes)
      case 'prune':
        return this.#pruner.prune(op, this.#remembered.nextSeq - 1, this.#changes)
      default:
        return op satisfies never
    }
  }
  #replay(op: Replay): Replayed {
    const replayed = this.#retimer.replay(op, this.#remembered.nextSeq, this.#changes)
    if (replayed.outcome === 'replayed' && replayed.due.seq === this.#remembered.nextSeq) this.#remembered.nextSeq += 1
    return replayed
  }
  #setGroup(op: SetGroup): GroupSet {
    const set = this.#groups.set(op)
    this.#lanes.forget()
    return set.ok
      ? { ...set, carried: op.carried.map((limit) => this.#settings.setLimit({ type: 'set-limit', ...limit })) }
      : set
  }
  #append(op: Append): Appended {
    const work = new Appending(bufferOf(op.rows), this.#remembered.nextSeq)
    const changes = new CounterChanges()
    this.#inserter.step(work, work.batch.count, changes)
    this.#inserter.place(work, work.unplaced)
    if (work.conflict !== null) this.#inserter.remove(work.inserted)
    else {
      changes.mergeInto(this.#changes)
      this.#remembered.nextSeq = work.nextSeq
    }
    this.#transactions.written += 2 * op.rows.length
    return work.answer()
  }

  *#appendInChunks(op: Append, index: number): Generator<void, Appended> {
    try {
      return yield* this.#batches.append(op)
    } catch (error) {
      throw this.#blame(error, index)
    }
  }
  #blame(error: unknown, index: number): unknown {
    if (error instanceof BatchInTheWay) return error
    if (error instanceof BadRow || error instanceof RangeError) return new StoreError('invalid', error.message, index)
    const known = storeErrorOf(error, this.#files.database)
    return known.code === 'invalid' ? new StoreError('invalid', known.message, index) : known
  }

  #recover(): void {
    this.#batches.recover()
    // A first commit, so that the -wal exists before its absence means anything.
    const opens = this.#db.prepare(`INSERT INTO meta VALUES ('opens', 1) ON CONFLICT DO UPDATE SET value = value + 1`)
    this.#transactions.run('FULL', null, () => opens.run())
    this.#remembered.nextSeq = nextSeqOf(this.#db)
  }
}

const nextSeqOf = (db: Connection): number => {
  const last = db.prepare<[], number | null>('SELECT max(seq) FROM webhooks').pluck().get() ?? 0
  const pruned = db.prepare<[], number>(`SELECT value FROM meta WHERE key = 'last_seq'`).pluck().get() ?? 0
  return Math.max(last, pruned) + 1
}

const OP_BYTES = 600
/** ~10 ms. */
const PAGES_PER_STEP = 4
const costOf = (op: WriteOp): number => (op.type === 'append' ? op.count : 1)
/** Ops that go into one transaction: at most about APPEND_CHUNK_ROWS rows. */
const endOfChunk = (ops: readonly WriteOp[], from: number): number => {
  let cost = 0
  for (let at = from; at < ops.length; at++) {
    const op = ops[at]
    if (op === undefined || (op.type === 'append' && op.count > APPEND_CHUNK_ROWS)) return at
    cost += costOf(op)
    if (cost > APPEND_CHUNK_ROWS && at > from) return at
  }
  return ops.length
}
