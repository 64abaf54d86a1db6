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
import {
  BUSY_TIMEOUT_MS,
  type Connection,
  openConnection,
  type Synchronous,
  setSynchronous,
  sqliteErrorOf,
  storeErrorOf,
} from './connection.ts'
import { CounterChanges, counterWriter } from './counters.ts'
import { checkFiles, type DataFiles, markClosed, markOpened } from './data-files.ts'
import { DomainGroups } from './domain-groups.ts'
import { DueReads } from './due-reads.ts'
import { Expirer } from './expiring.ts'
import { FarRows } from './far-rows.ts'
import { LaneBook } from './lane-book.ts'
import { LiveRows } from './live-rows.ts'
import { Pruner } from './pruning.ts'
import { Retimer } from './retiming.ts'
import { checkOwner, migrate } from './schema.ts'
import { Settings } from './settings.ts'
import { Starts } from './starts.ts'
import type { WriterRead } from './writer-reads.ts'

export type Results = WriteResult<WriteOp>[]
/** An open batch's rows `first..last` are not there yet. */
interface OpenBatch {
  readonly first: number
  readonly last: number
}

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
  readonly #writeCounters
  readonly #changes = new CounterChanges()
  readonly #begin
  readonly #commit
  readonly #rollback
  readonly #openBatch
  readonly #closeBatch
  #open: OpenBatch[] = []
  /** Batches that failed and could not be taken out yet (disk full). */
  #unfinished: Appending[] = []
  #synchronous: Synchronous = 'FULL'
  #nextSeq: number
  /** Estimated bytes written since `takeWritten`. */
  #written = 0

  readonly #failpoint: (name: string) => void

  /** Migrates and recovers. Throws StoreError. */
  constructor(files: DataFiles, failpoint: (name: string) => void = () => undefined) {
    this.#failpoint = failpoint
    checkFiles(files)
    this.#files = files
    const db = openConnection(files.database, WRITER_CACHE_KIB, checkOwner)
    this.#db = db
    try {
      migrate(db)
      this.#begin = db.prepare('BEGIN IMMEDIATE')
      this.#commit = db.prepare('COMMIT')
      this.#rollback = db.prepare('ROLLBACK')
      this.#openBatch = db.prepare<[number, number]>('INSERT INTO open_batches VALUES (?, ?)')
      this.#closeBatch = db.prepare<[number]>('DELETE FROM open_batches WHERE first = ?')
      const isOpen = (seq: number): boolean => this.#isOpen(seq)
      this.#groups = new DomainGroups(db)
      this.#lanes = new LaneBook(db, this.#groups)
      this.#far = new FarRows(db)
      this.#inserter = new Inserter(db, this.#lanes, this.#far, isOpen)
      this.#starts = new Starts(db)
      const attempts = new AttemptRows(db)
      this.#live = new LiveRows(db, this.#lanes, this.#far, this.#starts, attempts, isOpen)
      this.#retimer = new Retimer(db, this.#lanes, this.#far, this.#starts, attempts, isOpen)
      this.#settings = new Settings(db)
      this.#expirer = new Expirer(db, this.#lanes)
      this.#pruner = new Pruner(db, this.#lanes, this.#settings)
      this.#reads = new DueReads(db, this.#lanes)
      this.#writeCounters = counterWriter(db)
      this.#nextSeq = this.#readNextSeq()
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
    for (const work of this.#unfinished) yield* this.#undo(work)
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
    const written = this.#written
    this.#written = 0
    return written
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
      const [row] = this.#db.pragma('wal_checkpoint(TRUNCATE)') as readonly { readonly busy: number }[]
      this.#failpoint('store.checkpointed')
      if (row?.busy === 0) markClosed(this.#files)
    } finally {
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
    this.#transact('NORMAL', null, () => this.#far.promotePage())
    this.#written += 32_768
  }

  #applyTogether(ops: readonly WriteOp[], from: number, end: number, results: Results): void {
    let at = from
    const before = results.length
    const promised = ops.slice(from, end).some(isPromised)
    try {
      const what = ops[from]?.type
      this.#transact(
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
    this.#written += OP_BYTES
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
        return this.#pruner.prune(op, this.#nextSeq - 1, this.#changes)
      default:
        return op satisfies never
    }
  }
  #replay(op: Replay): Replayed {
    const replayed = this.#retimer.replay(op, this.#nextSeq, this.#changes)
    if (replayed.outcome === 'replayed' && replayed.due.seq === this.#nextSeq) this.#nextSeq += 1
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
    const work = new Appending(bufferOf(op.rows), this.#nextSeq)
    const changes = new CounterChanges()
    this.#inserter.step(work, work.batch.count, changes)
    this.#inserter.place(work, work.unplaced)
    if (work.conflict !== null) this.#inserter.remove(work.inserted)
    else {
      changes.mergeInto(this.#changes)
      this.#nextSeq = work.nextSeq
    }
    this.#written += 2 * op.rows.length
    return work.answer()
  }

  *#appendInChunks(op: Append, index: number): Generator<void, Appended> {
    const work = this.#opened(op, index)
    const changes = new CounterChanges()
    try {
      while (!work.isDone) {
        this.#transact('NORMAL', null, () => this.#inserter.step(work, APPEND_CHUNK_ROWS, changes))
        this.#written += OP_BYTES * APPEND_CHUNK_ROWS
        yield
      }
      while (work.conflict === null && work.unplaced > PLACED_AT_ONCE) {
        this.#transact('NORMAL', null, () => this.#inserter.place(work, PLACED_AT_ONCE))
        yield
      }
      if (work.conflict === null) this.#closeOpen(work, changes)
      else yield* this.#undo(work)
    } catch (error) {
      yield* this.#undo(work)
      throw this.#blame(error, index)
    }
    this.#written += op.rows.length
    return work.answer()
  }
  #opened(op: Append, index: number): Appending {
    try {
      const work = new Appending(bufferOf(op.rows), this.#nextSeq)
      const range = { first: work.firstSeq, last: work.firstSeq + work.batch.count - 1 }
      this.#transact('NORMAL', null, () => this.#openBatch.run(range.first, range.last))
      this.#open.push(range)
      this.#nextSeq = range.last + 1
      return work
    } catch (error) {
      throw this.#blame(error, index)
    }
  }
  /** The batch's commit. Numbers that duplicates have left over are given back if nobody came after. */
  #closeOpen(work: Appending, changes: CounterChanges): void {
    this.#transact('FULL', changes, () => {
      this.#inserter.place(work, work.unplaced)
      this.#closeBatch.run(work.firstSeq)
    })
    this.#forgetOpen(work)
  }
  *#undo(work: Appending): Generator<void, void> {
    if (!this.#unfinished.includes(work)) this.#unfinished.push(work)
    const seqs = [...work.inserted]
    while (seqs.length > 0) {
      const some = seqs.splice(-APPEND_CHUNK_ROWS)
      this.#transact('NORMAL', null, () => this.#inserter.remove(some))
      yield
    }
    work.nextSeq = work.firstSeq
    this.#transact('NORMAL', null, () => this.#closeBatch.run(work.firstSeq))
    this.#unfinished = this.#unfinished.filter((other) => other !== work)
    this.#forgetOpen(work)
  }
  #forgetOpen(work: Appending): void {
    const end = work.firstSeq + work.batch.count
    if (this.#nextSeq === end) this.#nextSeq = work.nextSeq
    this.#open = this.#open.filter((batch) => batch.first !== work.firstSeq)
  }

  /** One transaction: all of `body`, or nothing of it on disk and in memory. */
  #transact(synchronous: Synchronous, changes: CounterChanges | null, body: () => void, what = 'upkeep'): void {
    const nextSeq = this.#nextSeq
    try {
      if (synchronous !== this.#synchronous) this.#setSynchronous(synchronous)
      this.#begin.run()
      this.#failpoint(`store.begun/${what}`)
      body()
      if (changes !== null) this.#writeCounters(changes)
      this.#failpoint('store.commit')
      this.#failpoint(`store.commit/${what}`)
      this.#commit.run()
      this.#failpoint('store.committed')
      this.#failpoint(`store.committed/${what}`)
      changes?.clear()
    } catch (error) {
      this.#abandon(changes, nextSeq)
      throw sqliteErrorOf(error, this.#files.database)
    }
  }
  /** Some errors roll back on their own (reliability.md D8). */
  #abandon(changes: CounterChanges | null, nextSeq: number): void {
    if (this.#db.inTransaction) this.#rollback.run()
    changes?.clear()
    this.#nextSeq = nextSeq
    this.#lanes.forget()
    this.#far.reload()
    this.#starts.reload()
  }
  #setSynchronous(level: Synchronous): void {
    setSynchronous(this.#db, level)
    this.#synchronous = level
  }
  #blame(error: unknown, index: number): unknown {
    if (error instanceof BatchInTheWay) return error
    if (error instanceof BadRow || error instanceof RangeError) return new StoreError('invalid', error.message, index)
    const known = storeErrorOf(error, this.#files.database)
    return known.code === 'invalid' ? new StoreError('invalid', known.message, index) : known
  }

  #isOpen(seq: number): boolean {
    return this.#open.some((batch) => seq >= batch.first && seq <= batch.last)
  }
  /** Batches that the last life has not committed were never acknowledged. */
  #recover(): void {
    const open = this.#db.prepare<[], OpenBatch>('SELECT first, last FROM open_batches').all()
    const rows = this.#db
      .prepare<[number, number, number], number>('SELECT seq FROM webhooks WHERE seq BETWEEN ? AND ? LIMIT ?')
      .pluck()
    for (const { first, last } of open) {
      for (;;) {
        const seqs = rows.all(first, last, APPEND_CHUNK_ROWS)
        if (seqs.length === 0) break
        this.#transact('NORMAL', null, () => this.#inserter.remove(seqs))
      }
      this.#transact('NORMAL', null, () => this.#closeBatch.run(first))
    }
    // A first commit, so that the -wal exists before its absence means anything.
    const opens = this.#db.prepare(`INSERT INTO meta VALUES ('opens', 1) ON CONFLICT DO UPDATE SET value = value + 1`)
    this.#transact('FULL', null, () => opens.run())
    this.#nextSeq = this.#readNextSeq()
  }
  #readNextSeq(): number {
    const last = this.#db.prepare<[], number | null>('SELECT max(seq) FROM webhooks').pluck().get() ?? 0
    const pruned = this.#db.prepare<[], number>(`SELECT value FROM meta WHERE key = 'last_seq'`).pluck().get() ?? 0
    return Math.max(last, pruned) + 1
  }
}

const OP_BYTES = 600
/** Rows of a batch that are given their hour in one transaction: ~3 microseconds each. */
const PLACED_AT_ONCE = 1_000
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
