/** A node-local table: outlives what it describes. Synchronous, visible to every actor of the node. */
export interface Table<K, V> {
  get(key: K): V | undefined
  has(key: K): boolean
  set(key: K, value: V): void
  delete(key: K): boolean
  readonly size: number
  /** Counts each `set` and `delete`, from one owner to the next: what was made of the rows may be kept as long as it stays. */
  readonly version: number
  entries(): IterableIterator<[K, V]>
}
