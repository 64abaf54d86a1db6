/** A store that fails before a write, loses answers after one, is slow, and does not always open: drawn from the seed. */
import type { MemoryFaults } from '#store/memory/memory-store.ts'
import { StoreError, type WriteOp } from '#store/store.ts'
import { attemptIdOf } from '#webhook/webhook.ts'
import { Draws } from './draws.ts'
import type { Ledger } from './ledger.ts'
import type { NetworkHooks } from './network.ts'
import type { SimOptions } from './options.ts'
import type { ProcessWorld } from './process-world.ts'

export class NoisyStore {
  healed = false
  readonly #noise: SimOptions['noise']
  readonly #draws: Draws
  readonly #ledger: Ledger
  readonly #hooks: NetworkHooks

  constructor(options: SimOptions, ledger: Ledger, hooks: NetworkHooks) {
    this.#noise = options.noise
    this.#draws = new Draws(options.seed, 'store')
    this.#ledger = ledger
    this.#hooks = hooks
  }

  /** The faults that the store of one process meets. A dead process opens and writes nothing. */
  faultsFor(process: ProcessWorld, recovered: () => void): MemoryFaults {
    const draws = this.#draws
    const noise = this.#noise
    const happens = (share: number): boolean => !this.healed && share > 0 && draws.chance(share)
    const mustLive = (): void => {
      if (!process.alive) throw new StoreError('closed', 'the process is dead')
    }
    const { tally } = this.#hooks
    const slowly = (share: number): Promise<void> | undefined => {
      if (!happens(share)) return undefined
      tally.count('store: slow')
      return process.sleep(draws.between(1, noise.slowMsMax))
    }
    const fails = (share: number, what: string): boolean => {
      const does = happens(share)
      if (does) tally.count(`store: ${what}`)
      return does
    }
    return {
      beforeOpen: () => {
        mustLive()
        this.#hooks.passage('store opens')
        mustLive()
        if (fails(noise.openErrors, 'did not open')) throw new StoreError('locked', 'drawn')
      },
      beforeWrite: (group) => {
        mustLive()
        this.#hooks.trace(`writes ${group.map(textOf).join(' ')}`)
        for (const op of group)
          if (op.type === 'mark-started') this.#ledger.marking(attemptIdOf(op.id, op.attempt), op.startedAt)
        this.#hooks.passage('store writes')
        mustLive()
        if (fails(noise.errors, 'error before the write'))
          throw new StoreError(draws.oneOf(['busy', 'full', 'closed']), 'drawn')
        return slowly(noise.slow)
      },
      afterWrite: () => {
        this.#ledger.committed()
        this.#hooks.passage('store has written')
        mustLive()
        if (fails(noise.lostReplies, 'answer lost after the write'))
          throw new StoreError('closed', 'written, and the answer is lost')
        return slowly(noise.slow / 2)
      },
      beforeRead: (query) => {
        mustLive()
        this.#hooks.trace(`reads ${query.type}`)
        // The scheduler reads ahead when the executor has taken up what was left.
        if (query.type === 'horizon') recovered()
        this.#hooks.passage('store reads')
        mustLive()
        if (fails(noise.readErrors, 'read error')) throw new StoreError(draws.oneOf(['busy', 'io']), 'drawn')
        return slowly(noise.slowReads)
      },
    }
  }
}

const textOf = (op: WriteOp): string => {
  switch (op.type) {
    case 'append':
      return `append:${op.count}`
    case 'mark-started':
      return `mark:${op.id}.${op.attempt}:${op.token}`
    case 'record-outcome':
      return `outcome:${op.id}.${op.attempt.number}:${op.next.state}`
    case 'hand-back':
    case 'cancel':
      return `${op.type}:${op.id}`
    default:
      return op.type
  }
}
