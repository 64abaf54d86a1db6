/** Methods that give webhooks another instant, and those that take every webhook that a filter finds. */
import { FILTER_PAGE_ROWS, FILTER_WEBHOOKS_MAX } from '#config/limits.ts'
import type { ListFilter, Replayed, Rescheduled, WebhookRecord } from '#store/store.ts'
import type { Brand, FinalState, Instant, WebhookId, WebhookState } from '#webhook/webhook.ts'
import type { Backend } from './backend.ts'
import { formatInstant } from './instant.ts'
import { Refusal } from './refusal.ts'
import type { WebhookView } from './results.ts'
import { webhookView } from './views.ts'

export const noWebhook = (id: string): Refusal =>
  new Refusal('NOT_FOUND', `there is no webhook ${JSON.stringify(id)}`, { field: 'id' })

/** Rejects with Refusal: NOT_FOUND, and CONFLICT for what runs, is over, or would expire before. */
export const reschedule = async (
  id: WebhookId,
  at: Instant,
  brand: Brand | null,
  backend: Backend,
): Promise<WebhookView> => {
  const moved = await backend.retime({ type: 'reschedule', id, brand, at, now: backend.now() })
  if (moved.outcome !== 'rescheduled') throw notRescheduled(id, at, moved.outcome)
  return view(id, brand, backend)
}
const notRescheduled = (
  id: WebhookId,
  at: Instant,
  outcome: Exclude<Rescheduled['outcome'], 'rescheduled'>,
): Refusal => {
  switch (outcome) {
    case 'alreadyRunning':
      return new Refusal('CONFLICT', `webhook ${id} is being sent now; its outcome tells what comes next`, {
        field: 'id',
      })
    case 'alreadyDone':
      return new Refusal('CONFLICT', `webhook ${id} is over; replayWebhook sends it again`, { field: 'id' })
    case 'expiresBefore':
      return new Refusal(
        'CONFLICT',
        `webhook ${id} expires before ${formatInstant(at)}; give an instant before its expiresAt`,
        { field: 'at' },
      )
    case 'damaged':
      return damaged(id)
    default:
      return noWebhook(id)
  }
}

/** Of a finished webhook. Rejects with Refusal: NOT_FOUND, CONFLICT for what is not over, RESOURCE_EXHAUSTED. */
export const replay = async (
  id: WebhookId,
  asNew: boolean,
  brand: Brand | null,
  backend: Backend,
): Promise<WebhookView> => {
  const record = await backend.read({ type: 'webhook', id, brand })
  if (record === null) throw noWebhook(id)
  const replayed = await replayOne(record, asNew, backend)
  if (replayed.outcome === 'replayed') return view(replayed.due.id, brand, backend)
  if (replayed.outcome === 'notDone')
    throw new Refusal('CONFLICT', `webhook ${id} is not over; runWebhookNow sends it at once`, { field: 'id' })
  throw replayed.outcome === 'damaged' ? damaged(id) : noWebhook(id)
}
const replayOne = async (record: WebhookRecord, asNew: boolean, backend: Backend): Promise<Replayed> => {
  await backend.takeRoom(record.brand)
  const newId = asNew ? backend.newWebhookId() : null
  return backend.retime({ type: 'replay', id: record.id, brand: null, newId, at: backend.now() })
}
const damaged = (id: WebhookId): Refusal =>
  new Refusal('CONFLICT', `webhook ${id} is damaged on disk and cannot be sent; schedule it anew`, { field: 'id' })

const view = async (id: WebhookId, brand: Brand | null, backend: Backend): Promise<WebhookView> => {
  const record = await backend.read({ type: 'webhook', id, brand })
  if (record === null) throw noWebhook(id)
  return webhookView(record, backend.now())
}

/** How many were done; `more`: the bound of one call was reached, so call again, from `nextCursor` on. */
export interface Swept {
  readonly done: number
  readonly more: boolean
  /** Null: it is at its end, or would begin anew. */
  readonly nextCursor: string | null
}

const WAITING_STATES = ['scheduled', 'waiting', 'retrying'] as const satisfies readonly WebhookState[]

/** Cancels what waits and matches. What starts meanwhile is left out. */
export const cancelAll = (filter: ListFilter, backend: Backend): Promise<Swept> =>
  sweep(filter, WAITING_STATES, backend, async ({ id }) => {
    const { outcome } = await backend.cancel(id, filter.brand)
    return outcome === 'cancelled'
  })

/**
 * Replays what is over and matches; dead letters unless the filter names another state. What has been replayed may match again,
 * at once as its own copy's original, or soon: who calls again goes on from `cursor`, and replays nothing twice.
 */
export const replayAll = (
  filter: ListFilter,
  asNew: boolean,
  cursor: string | null,
  backend: Backend,
): Promise<Swept> => {
  const replayIt = async (record: WebhookRecord): Promise<boolean> => {
    const { outcome } = await replayOne(record, asNew, backend)
    return outcome === 'replayed'
  }
  return sweep(filter, ['dead' satisfies FinalState], backend, replayIt, cursor)
}

/** By page, so that nothing is held but a page; the newest first. What is done stays done if a later one is refused. */
const sweep = async (
  filter: ListFilter,
  states: readonly WebhookState[],
  backend: Backend,
  act: (record: WebhookRecord) => Promise<boolean>,
  from: string | null = null,
): Promise<Swept> => {
  let done = 0
  let seen = 0
  for (const state of filter.state === undefined ? states : [filter.state]) {
    let cursor = from
    do {
      const query = { type: 'list', filter: { ...filter, state }, limit: FILTER_PAGE_ROWS, cursor } as const
      const page: { readonly webhooks: readonly WebhookRecord[]; readonly nextCursor: string | null } =
        await backend.read({ ...query, now: backend.now() })
      const results = await Promise.allSettled(page.webhooks.map(act))
      done += results.filter((result) => result.status === 'fulfilled' && result.value).length
      const at = results.findIndex((result) => result.status === 'rejected')
      const refused = results[at]
      if (refused?.status === 'rejected' && done === 0) throw refused.reason
      // Where there is no room for one, there is none for those behind it.
      if (refused !== undefined) return { done, more: true, nextCursor: cursorAfter(page.webhooks[at - 1]) ?? cursor }
      seen += page.webhooks.length
      cursor = page.nextCursor
      if (cursor !== null && seen >= FILTER_WEBHOOKS_MAX) return { done, more: true, nextCursor: cursor }
    } while (cursor !== null)
  }
  return { done, more: false, nextCursor: null }
}
/** As the store's lists name the place behind a webhook. */
const cursorAfter = (last: WebhookRecord | undefined): string | null => (last === undefined ? null : String(last.seq))
