/** What a writing child was told (test/unit/store/crash-child.ts), and whether a store has all of it. */
import type { ChildProcess } from 'node:child_process'
import type { Store } from '#store/store.ts'

export interface Acknowledged {
  /** First number and count of each acknowledged append. */
  readonly appended: (readonly [first: number, count: number])[]
  readonly cancelled: number[]
  readonly delivered: number[]
}
export interface Word {
  readonly what: keyof Acknowledged
  readonly n: number
  readonly count: number
}
export const nothing = (): Acknowledged => ({ appended: [], cancelled: [], delivered: [] })
export const note = (said: Acknowledged, { what, n, count }: Word): void => {
  if (what === 'appended') said.appended.push([n, count])
  else said[what].push(n)
}

/** Until the child has died; `enough` words and it is killed. */
export const heardUntilDeath = (child: ChildProcess, enough: number): Promise<Acknowledged> =>
  new Promise((resolve) => {
    const said = nothing()
    let words = 0
    child.on('message', (word: Word) => {
      note(said, word)
      words += 1
      if (words === enough) child.kill('SIGKILL')
    })
    child.on('exit', () => resolve(said))
  })

const idOf = (n: number): string => `msg_01K${String(n).padStart(23, '0')}`

/**
 * One sentence for each acknowledgement that the store does not keep; empty is the aim. Outcomes are synced with the next promise:
 * after a power cut (`synced`) a delivery may be missing, after a kill not.
 */
export const brokenWords = async (
  store: Store,
  said: Acknowledged,
  synced: 'kill' | 'power cut' = 'kill',
): Promise<readonly string[]> => {
  const broken: string[] = []
  const stateOf = async (n: number) => (await store.read({ type: 'webhook', id: idOf(n), brand: null }))?.state
  for (const [first, count] of said.appended)
    for (const n of new Set([first, first + count - 1]))
      if ((await stateOf(n)) === undefined) broken.push(`webhook ${n} was acknowledged and is gone`)
  for (const n of said.cancelled)
    if ((await stateOf(n)) !== 'cancelled') broken.push(`webhook ${n} was cancelled and is ${await stateOf(n)}`)
  for (const n of synced === 'kill' ? said.delivered : [])
    if ((await stateOf(n)) !== 'delivered') broken.push(`webhook ${n} was delivered and is ${await stateOf(n)}`)
  const figures = await store.read({ type: 'counts', brand: null, domain: null, now: 0 })
  const rows = Object.values(figures).reduce((sum, n) => sum + n, 0)
  const promised = said.appended.reduce((sum, [, count]) => sum + count, 0)
  // The child has at most one append under way.
  if (![0, 1, 1_000].includes(rows - promised)) broken.push(`${rows} rows are there, ${promised} were acknowledged`)
  const { problems } = await store.read({ type: 'check' })
  return [...broken, ...problems]
}
