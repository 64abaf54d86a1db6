/**
 * A registry of processes by key (Elixir's Registry, runtime.md section E): unique or duplicate keys, values, listeners, locks, and
 * addresses of the form via. The table belongs to an owner process that every registrant is linked to until its last key goes (E2).
 */
import { type Behaviour, keep, ok } from './behaviour.ts'
import { insideOf } from './children.ts'
import type { Kernel } from './kernel.ts'
import { INFO } from './mailbox.ts'
import { type Pid, Via } from './pid.ts'
import { CLOSING, type Process } from './process.ts'
import { structuralKey } from './structural-key.ts'

export interface RegistryEntry {
  readonly pid: Pid
  readonly value: unknown
}
interface Held extends RegistryEntry {
  readonly key: unknown
}
export type RegistryEvent =
  | {
      readonly type: 'register'
      readonly registry: string
      readonly key: unknown
      readonly pid: Pid
      readonly value: unknown
    }
  | { readonly type: 'unregister'; readonly registry: string; readonly key: unknown; readonly pid: Pid }
export type Registered =
  | { readonly ok: true; readonly owner: Pid }
  | { readonly ok: false; readonly error: { readonly type: 'already_registered'; readonly pid: Pid } }

export interface RegistryArgs {
  readonly name: string
  readonly keys: 'unique' | 'duplicate'
  /** Names of processes that get each register and unregister; not the ends by a crash (E10). */
  readonly listeners?: readonly string[]
}
type RegistryProtocol = {
  readonly call: never
  readonly cast: never
  readonly info: never
  readonly continue: never
}
interface Waiter {
  readonly process: Process
  readonly go: () => void
}

class Store {
  readonly args: RegistryArgs
  readonly byKey = new Map<string, Held[]>()
  readonly keysOf = new Map<Pid, Map<string, number>>()
  readonly locks = new Map<string, Waiter[]>()
  constructor(args: RegistryArgs) {
    this.args = args
  }
  add(id: string, held: Held): void {
    const entries = this.byKey.get(id)
    if (entries === undefined) this.byKey.set(id, [held])
    else entries.push(held)
    const keys = this.keysOf.get(held.pid) ?? new Map<string, number>()
    keys.set(id, (keys.get(id) ?? 0) + 1)
    this.keysOf.set(held.pid, keys)
  }
  /** All of this process under this key; the number removed. */
  remove(id: string, pid: Pid): number {
    const entries = this.byKey.get(id) ?? []
    const rest = entries.filter((entry) => entry.pid !== pid)
    if (rest.length === 0) this.byKey.delete(id)
    else this.byKey.set(id, rest)
    const keys = this.keysOf.get(pid)
    keys?.delete(id)
    if (keys?.size === 0) this.keysOf.delete(pid)
    return entries.length - rest.length
  }
  removeAll(pid: Pid): void {
    for (const id of [...(this.keysOf.get(pid)?.keys() ?? [])]) this.remove(id, pid)
  }
}

/** Start it under a supervisor; its registered name is the registry's. */
export const registryOwner: Behaviour<RegistryProtocol, RegistryArgs, { readonly name: string }> = {
  name: 'registry',
  version: 1,
  init(args, ctx) {
    ctx.trapExit(true)
    ctx.createTable<string, Store>(args.name).set('store', new Store(args))
    return ok({ name: args.name })
  },
  info(message, state, ctx) {
    if (message.type === 'EXIT') ctx.table<string, Store>(state.name).get('store')?.removeAll(message.pid)
    return keep
  },
}

/** The registry, from inside a process (register, lock) or from anywhere (look-ups). Throws where there is none of that name (E11). */
export class Registry {
  private readonly kernel: Kernel
  readonly name: string
  constructor(kernel: Kernel, name: string) {
    this.kernel = kernel
    this.name = name
  }
  private get store(): Store {
    const store = this.kernel.tables.get(this.name).get('store')
    if (store instanceof Store) return store
    throw new Error(`unknown registry ${this.name}`)
  }
  private ownerOf(): Process {
    const owner = this.kernel.alive(this.name)
    if (owner === null) throw new Error(`unknown registry ${this.name}`)
    return owner
  }
  /** Only what lives: the dead are gone eventually, and count for nothing meanwhile (E3). */
  private live(key: unknown): Held[] {
    const entries = this.store.byKey.get(structuralKey(key)) ?? []
    return entries.filter((entry) => this.kernel.alive(entry.pid) !== null)
  }

  /** Registers the calling process. */
  register(ctx: object, key: unknown, value: unknown): Registered {
    return this.registerProcess(insideOf(ctx).process, key, value)
  }
  registerProcess(process: Process, key: unknown, value: unknown): Registered {
    const { store } = this
    const owner = this.ownerOf()
    const [holder] = this.live(key)
    if (store.args.keys === 'unique' && holder !== undefined) {
      return { ok: false, error: { type: 'already_registered', pid: holder.pid } }
    }
    const id = structuralKey(key)
    for (const entry of store.byKey.get(id) ?? [])
      if (this.kernel.alive(entry.pid) === null) store.remove(id, entry.pid)
    store.add(id, { key, pid: process.pid, value })
    this.kernel.link(process, owner)
    this.tell({ type: 'register', registry: this.name, key, pid: process.pid, value })
    return { ok: true, owner: owner.pid }
  }
  /** The calling process's entries under the key, all of them. */
  unregister(ctx: object, key: unknown): void {
    const { process } = insideOf(ctx)
    const { store } = this
    if (store.remove(structuralKey(key), process.pid) === 0) return
    if (!store.keysOf.has(process.pid)) this.kernel.unlink(process, this.ownerOf())
    this.tell({ type: 'unregister', registry: this.name, key, pid: process.pid })
  }
  /** Only those of the calling process whose value matches. */
  unregisterMatch(ctx: object, key: unknown, matches: (value: unknown) => boolean): void {
    const { process } = insideOf(ctx)
    const own = this.live(key).filter((entry) => entry.pid === process.pid)
    if (!own.some((entry) => matches(entry.value))) return
    this.unregister(ctx, key)
    for (const { value } of own) if (!matches(value)) this.registerProcess(process, key, value)
  }
  lookup(key: unknown): RegistryEntry[] {
    return this.live(key).map(({ pid, value }) => ({ pid, value }))
  }
  /** Unique registries only. */
  whereis(key: unknown): Pid | null {
    this.mustBeUnique('whereis')
    return this.live(key)[0]?.pid ?? null
  }
  keys(pid: Pid): unknown[] {
    const ids = [...(this.store.keysOf.get(pid)?.keys() ?? [])]
    return ids.flatMap((id) =>
      (this.store.byKey.get(id) ?? []).filter((entry) => entry.pid === pid).map(({ key }) => key),
    )
  }
  values(key: unknown, pid: Pid): unknown[] {
    return this.live(key)
      .filter((entry) => entry.pid === pid)
      .map(({ value }) => value)
  }
  count(): number {
    let entries = 0
    for (const held of this.store.byKey.values()) entries += held.length
    return entries
  }
  match(key: unknown, matches: (value: unknown) => boolean): RegistryEntry[] {
    return this.lookup(key).filter((entry) => matches(entry.value))
  }
  countMatch(key: unknown, matches: (value: unknown) => boolean): number {
    return this.match(key, matches).length
  }
  /** Every entry that passes. */
  select(passes: (key: unknown, entry: RegistryEntry) => boolean): RegistryEntry[] {
    const all = [...this.store.byKey.values()].flat()
    return all.filter(({ key, pid, value }) => passes(key, { pid, value })).map(({ pid, value }) => ({ pid, value }))
  }
  /** The calling process's own key; null, and `update` is not called, if it is not its own (E6). */
  updateValue(
    ctx: object,
    key: unknown,
    update: (value: unknown) => unknown,
  ): { next: unknown; previous: unknown } | null {
    this.mustBeUnique('updateValue')
    const { process } = insideOf(ctx)
    const id = structuralKey(key)
    const [entry] = this.store.byKey.get(id) ?? []
    if (entry === undefined || entry.pid !== process.pid) return null
    const next = update(entry.value)
    this.store.byKey.set(id, [{ ...entry, value: next }])
    return { next, previous: entry.value }
  }
  /** Runs `run` in the caller with all entries; not at all when there are none (E7). */
  dispatch(key: unknown, run: (entries: RegistryEntry[]) => void): void {
    const entries = this.lookup(key)
    if (entries.length > 0) run(entries)
  }
  /** Mutual exclusion by key; passes on when the holder raises or dies, or a waiter dies (E12). */
  async lock<T>(ctx: object, key: unknown, run: () => T | Promise<T>): Promise<T> {
    const { kernel, process } = insideOf(ctx)
    const id = structuralKey(key)
    const { locks } = this.store
    const queue = locks.get(id) ?? []
    locks.set(id, queue)
    const turn = new Promise<void>((go) => {
      queue.push({ process, go })
      if (queue.length === 1) go()
    })
    const waiter = queue.at(-1)
    const leave = (): void => this.leave(id, waiter)
    const monitor = kernel.monitor(process.pid, null, leave)
    try {
      await turn
      return await run()
    } finally {
      if (monitor !== null && process.phase < CLOSING) kernel.demonitor(monitor)
      leave()
    }
  }
  private leave(id: string, waiter: Waiter | undefined): void {
    const queue = this.store.locks.get(id)
    const index = waiter === undefined ? -1 : (queue?.indexOf(waiter) ?? -1)
    if (queue === undefined || index < 0) return
    queue.splice(index, 1)
    if (index === 0) queue[0]?.go()
    if (queue.length === 0) this.store.locks.delete(id)
  }

  /** An address for calls and casts, and a name to start under: resolved at each use (OTP-N4). */
  via(key: unknown, value: unknown = null): Via {
    this.mustBeUnique('via')
    return new RegistryVia(this, key, value)
  }
  private mustBeUnique(what: string): void {
    if (this.store.args.keys !== 'unique') throw new Error(`${what}: not on a registry with duplicate keys`)
  }
  private tell(event: RegistryEvent): void {
    for (const listener of this.store.args.listeners ?? []) {
      const process = this.kernel.alive(listener)
      if (process !== null) this.kernel.send(process, event, INFO)
    }
  }
}

class RegistryVia extends Via {
  private readonly registry: Registry
  private readonly key: unknown
  private readonly value: unknown
  constructor(registry: Registry, key: unknown, value: unknown) {
    super()
    this.registry = registry
    this.key = key
    this.value = value
  }
  override whereis(): Pid | null {
    return this.registry.whereis(this.key)
  }
  override register(process: object): boolean {
    return this.registry.registerProcess(process as Process, this.key, this.value).ok
  }
  override toString(): string {
    return `via ${this.registry.name} ${structuralKey(this.key)}`
  }
}
