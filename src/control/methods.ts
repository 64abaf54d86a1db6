/** The methods that ask and answer. Scheduling is not here: it has its own, faster way (`actors/session.ts`). */
import * as limits from '#config/limits.ts'
import type { BackedUp, ListFilter } from '#store/store.ts'
import { guardKeyOf } from '#webhook/domain-group.ts'
import type { Brand, Domain } from '#webhook/webhook.ts'
import type { Backend } from './backend.ts'
import { brandForRead, brandForWrite, type Caller } from './caller.ts'
import { configureDomainGroup, domainOf, groupsSeen } from './domain-groups.ts'
import { readParams } from './explain.ts'
import { forecastView } from './foresight.ts'
import { formatInstant } from './instant.ts'
import { isLive, makeKey, storedKeyOf } from './keys.ts'
import { guardList, guardView, monitorView, overloadView } from './monitor-view.ts'
import { openRpc } from './open-rpc.ts'
import { METHODS, type MethodName, type Params, type Results } from './protocol.ts'
import { type ErrorCode, Refusal } from './refusal.ts'
import type { LimitsView, Paused } from './results.ts'
import { cancelAll, noWebhook, replay, replayAll, reschedule } from './retiming.ts'
import { configureBreaker, setLimit } from './steering.ts'
import {
  attemptView,
  dueOf,
  isShownLimit,
  keyView,
  limitsView,
  pausedView,
  placeView,
  processNode,
  waitingView,
  webhookView,
} from './views.ts'

/** Methods that a session answers by itself. */
export type SessionMethod = 'scheduleWebhook' | 'scheduleWebhooks' | 'subscribe' | 'unsubscribe' | 'authenticate'
export type AskingMethod = Exclude<MethodName, SessionMethod>
type Method<M extends AskingMethod> = (
  params: Params<M>,
  caller: Caller,
  backend: Backend,
) => Promise<Results[M]> | Results[M]

/** Reads the params and does it. Rejects with Refusal. */
export const runMethod = async (
  name: AskingMethod,
  params: unknown,
  caller: Caller,
  backend: Backend,
): Promise<Results[AskingMethod]> => {
  const given = readParams(METHODS[name].params, params ?? {})
  const method: (params: never, caller: Caller, backend: Backend) => unknown = ASKING[name]
  return (await method(given as never, caller, backend)) as Results[AskingMethod]
}

export const isAskingMethod = (name: MethodName): name is AskingMethod => Object.hasOwn(ASKING, name)

const ASKING: { readonly [M in AskingMethod]: Method<M> } = {
  getWebhook: async ({ id, brand }, caller, backend) => {
    const record = await backend.read({ type: 'webhook', id, brand: brandForRead(caller, brand) })
    if (record === null) throw noWebhook(id)
    return webhookView(record, backend.now())
  },

  listWebhooks: async ({ limit, cursor, ...said }, caller, backend) => {
    const now = backend.now()
    const filter = listFilter(said, caller)
    for (let rows = limit ?? limits.LIST_LIMIT_DEFAULT; ; rows = Math.ceil(rows / 2)) {
      const page = await backend.read({ type: 'list', filter, limit: rows, cursor: cursor ?? null, now })
      const webhooks = page.webhooks.map((record) => webhookView(record, now))
      const isSmall = rows === 1 || JSON.stringify(webhooks).length <= limits.PAGE_BYTES_MAX
      if (isSmall) return { webhooks, ...(page.nextCursor === null ? {} : { nextCursor: page.nextCursor }) }
    }
  },

  cancelWebhooks: async (params, caller, backend) => {
    const { done, more } = await cancelAll(filterOf('cancel', params, caller), backend)
    return { cancelled: done, more }
  },
  rescheduleWebhook: ({ id, at, delayMs, brand }, caller, backend) => {
    if ((at === undefined) === (delayMs === undefined))
      throw new Refusal('INVALID_PARAMS', 'give at or delayMs, one of them', { field: 'at' })
    const when = at ?? backend.now() + (delayMs ?? 0)
    return reschedule(id, when, brandForRead(caller, brand), backend)
  },
  runWebhookNow: ({ id, brand }, caller, backend) =>
    reschedule(id, backend.now(), brandForRead(caller, brand), backend),
  replayWebhook: ({ id, newId = false, brand }, caller, backend) =>
    replay(id, newId, brandForRead(caller, brand), backend),
  replayWebhooks: async ({ newId = false, cursor = null, ...params }, caller, backend) => {
    const { done, more, nextCursor } = await replayAll(filterOf('replay', params, caller), newId, cursor, backend)
    return { replayed: done, more, ...(nextCursor === null ? {} : { nextCursor }) }
  },

  getAttempts: async ({ id, brand }, caller, backend) => {
    const attempts = await backend.read({ type: 'attempts', id, brand: brandForRead(caller, brand) })
    if (attempts === null) throw noWebhook(id)
    return { attempts: attempts.map(attemptView) }
  },

  explainWebhook: async ({ id, brand }, caller, backend) => {
    const record = await backend.read({ type: 'webhook', id, brand: brandForRead(caller, brand) })
    if (record === null) throw noWebhook(id)
    const { state, domain, nextAttemptAt } = webhookView(record, backend.now())
    const isWaiting = record.nextAt !== null && (state === 'waiting' || state === 'held')
    const waiting = isWaiting ? await backend.explain(dueOf(record, record.nextAt)) : null
    const keys = [
      { domain: keyOf(domain, backend), brand: null },
      { domain: null, brand: record.brand },
    ]
    const paused = isWaiting ? pausedView(backend.limits(), keys) : {}
    if (waiting !== null) return { id, state, domain, ...waitingView(waiting), ...paused }
    const place = isWaiting ? await backend.place(domain, record.brand) : null
    if (place !== null && record.nextAt !== null)
      return { id, state, domain, ...placeView(place, record.nextAt), ...paused }
    const isToCome = state === 'scheduled' || state === 'retrying'
    return { id, state, domain, ...(isToCome && nextAttemptAt !== undefined ? { expectedAt: nextAttemptAt } : {}) }
  },

  cancelWebhook: async ({ id, brand }, caller, backend) => {
    const { outcome } = await backend.cancel(id, brandForRead(caller, brand))
    if (outcome === 'notFound') throw noWebhook(id)
    return { outcome }
  },

  configureBrandConcurrencyLimit: ({ limit, brand }, caller, backend) =>
    setLimit(
      { kind: 'concurrency', domain: null, value: limit, burst: null },
      brandForWrite(caller, brand),
      caller,
      backend,
    ),

  configureDomainConcurrencyLimit: async ({ domain, limit, brand, adaptive }, caller, backend) => {
    const of = { domain: domainOf(domain), burst: null }
    const whose = brandForRead(caller, brand)
    if (adaptive !== undefined) {
      if (whose !== null)
        throw new Refusal('INVALID_PARAMS', 'adaptive is a matter of the whole domain; leave brand out', {
          field: 'adaptive',
        })
      await setLimit({ ...of, kind: 'adaptive', value: adaptive ? 1 : null }, null, caller, backend)
    }
    return setLimit({ ...of, kind: 'concurrency', value: limit }, whose, caller, backend)
  },

  configureRateLimit: ({ domain, requestsPerSecond, burst, brand }, caller, backend) =>
    setLimit(
      {
        kind: 'rate',
        domain: domainOf(domain),
        value: requestsPerSecond,
        burst: requestsPerSecond === null ? null : (burst ?? 1),
      },
      brandForRead(caller, brand),
      caller,
      backend,
    ),

  configureBreaker: ({ domain, ...said }, caller, backend) => {
    forAdmins(caller)
    return configureBreaker(domainOf(domain), said, caller, backend)
  },

  configureDomainGroup: (said, caller, backend) => {
    forAdmins(caller)
    return configureDomainGroup(said, caller, backend)
  },

  configureBrandWeight: ({ weight, brand, domain }, caller, backend) => {
    forAdmins(caller)
    const of = { domain: domain === undefined ? null : domainOf(domain), value: weight, burst: null }
    return setLimit({ kind: 'weight', ...of }, brandForWrite(caller, brand), caller, backend)
  },

  configureBrandBacklog: ({ limit, brand }, caller, backend) => {
    forAdmins(caller)
    const said = { kind: 'backlog', domain: null, value: limit, burst: null } as const
    return setLimit(said, brandForWrite(caller, brand), caller, backend)
  },

  pauseDomain: ({ domain, reason }, caller, backend) =>
    pause({ domain: domainOf(domain) }, true, reason, caller, backend),
  resumeDomain: ({ domain }, caller, backend) => pause({ domain: domainOf(domain) }, false, undefined, caller, backend),
  pauseBrand: ({ brand, reason }, caller, backend) =>
    pause({ brand: brandForWrite(caller, brand) }, true, reason, caller, backend),
  resumeBrand: ({ brand }, caller, backend) =>
    pause({ brand: brandForWrite(caller, brand) }, false, undefined, caller, backend),

  getLimits: ({ domain, brand }, caller, backend) => {
    const wantedDomain = domain === undefined ? null : domainOf(domain)
    const wantedBrand = brandForRead(caller, brand)
    const seesShared = caller.role === 'admin' ? brand === undefined : wantedDomain !== null
    const groups = new Map<string, LimitsView[]>()
    const rows = [...backend.limits()].filter(
      (row) =>
        isShownLimit(row) &&
        (wantedDomain === null || row.domain === wantedDomain || row.domain === keyOf(wantedDomain, backend)) &&
        (row.brand === null ? seesShared : wantedBrand === null || row.brand === wantedBrand),
    )
    const byKey = Map.groupBy(rows, (row) => `${row.domain ?? '*'} ${row.brand ?? '*'}`)
    for (const [key, group] of byKey) groups.set(key, [limitsView(group)])
    const seen = groupsSeen(wantedDomain, caller, backend)
    return { limits: [...groups.values()].flat(), ...(seen.length === 0 ? {} : { groups: seen }) }
  },

  getMonitor: async ({ domain, brand }, caller, backend) => {
    const named = domain === undefined ? null : domainOf(domain)
    const wanted = brandForRead(caller, brand)
    const seesDomains = caller.role === 'admin' || (named !== null && (await usesDomain(named, caller.brand, backend)))
    return monitorView({ domain: named === null ? null : keyOf(named, backend), brand: wanted, seesDomains }, backend)
  },

  getGuard: async ({ domain }, caller, backend) =>
    guardView(await seenDomain(domain, caller, backend), caller, backend),

  forecast: async ({ domain, from, to, bucketMs }, caller, backend) =>
    forecastView({ domain: await seenDomain(domain, caller, backend), from, to, bucketMs }, backend),

  listGuards: (_params, caller, backend) => {
    forAdmins(caller)
    return guardList(backend)
  },

  listBrands: async (_params, caller, backend) => {
    forAdmins(caller)
    const brands = await backend.read({ type: 'brands' })
    return { brands: brands.map(({ brand, createdAt }) => ({ brand, createdAt: formatInstant(createdAt) })) }
  },

  createApiKey: async ({ role = 'brand', brand, expiresAt = null }, caller, backend) => {
    forAdmins(caller)
    const now = backend.now()
    if (role === 'admin' && brand !== undefined)
      throw new Refusal('INVALID_PARAMS', 'brand is given beside the role admin, which speaks for all; leave it out', {
        field: 'brand',
      })
    if (expiresAt !== null && expiresAt <= now)
      throw new Refusal('INVALID_PARAMS', 'expiresAt is not in the future; give a later instant, or leave it out', {
        field: 'expiresAt',
      })
    const ofBrand = role === 'admin' ? null : brandForWrite(caller, brand)
    if (ofBrand !== null) await backend.ensureBrand(ofBrand)
    const key = makeKey(role, (length) => backend.randomBytes(length))
    const stored = { ...storedKeyOf(key, { role, brand: ofBrand, createdAt: now }), expiresAt }
    await backend.putKey(stored)
    return { ...keyView(stored), key }
  },

  listApiKeys: ({ brand }, caller, backend) => {
    forAdmins(caller)
    const keys = [...backend.keys()].filter((key) => brand === undefined || key.brand === brand)
    return { keys: keys.toSorted((a, b) => a.createdAt - b.createdAt).map(keyView) }
  },

  revokeApiKey: async ({ id }, caller, backend) => {
    forAdmins(caller)
    const stored = [...backend.keys()].find((key) => key.keyId === id)
    if (stored === undefined)
      throw new Refusal('NOT_FOUND', `there is no key ${JSON.stringify(id)}; listApiKeys lists them`, { field: 'id' })
    const now = backend.now()
    const others = [...backend.keys()].filter((key) => key !== stored && key.role === 'admin' && isLive(key, now))
    if (stored.role === 'admin' && others.length === 0)
      throw new Refusal('CONFLICT', 'this is the last admin key; make another one first', { field: 'id' })
    const revoked = { ...stored, revokedAt: stored.revokedAt ?? now }
    await backend.putKey(revoked)
    return keyView(revoked)
  },

  getSupervisionTree: (_params, caller, backend) => {
    forAdmins(caller)
    const tree = backend.host.tree()
    if (tree === null) throw new Refusal('SHUTTING_DOWN', 'the daemon is going down; ask the next one')
    return { tree: processNode(tree) }
  },

  killProcess: ({ pid, name, reason }, caller, backend) => {
    forAdmins(caller)
    const target = pid ?? name
    if (target === undefined || (pid !== undefined && name !== undefined))
      throw new Refusal('INVALID_PARAMS', 'give pid or name, one of them', {
        field: pid === undefined ? 'name' : 'pid',
      })
    if (backend.host.isRoot(target))
      throw new Refusal('FORBIDDEN', 'the end of root is the end of the daemon; stop it with SIGTERM', {
        field: pid === undefined ? 'name' : 'pid',
      })
    const killed = backend.host.kill(target, reason ?? 'kill')
    if (killed === null)
      throw new Refusal('NOT_FOUND', `there is no process ${JSON.stringify(target)}; getSupervisionTree lists them`, {
        field: pid === undefined ? 'name' : 'pid',
      })
    return { killed: true, pid: killed }
  },

  backupStore: async ({ path }, caller, backend) => {
    forAdmins(caller)
    const done = await backend.backUp(path)
    if (done.ok) return { path, bytes: done.bytes, webhooks: done.webhooks }
    throw new Refusal(BACKUP_CODES[done.why], done.detail, { field: 'path' })
  },

  getInfo: (_params, caller, backend) => {
    const { version, node, processId, startedAt, store } = backend.host
    return {
      name: 'hookpulse',
      version,
      node,
      pid: processId,
      startedAt: formatInstant(startedAt),
      uptimeMs: backend.now() - startedAt,
      store,
      overload: overloadView(backend),
      limits: Object.fromEntries(
        Object.entries(limits).flatMap(([name, value]) =>
          typeof value === 'number' && Number.isFinite(value) ? [[camelCase(name), value]] : [],
        ),
      ),
      role: caller.role,
      brand: brandForWrite(caller, undefined),
    }
  },

  'rpc.discover': (_params, _caller, backend) => openRpc(backend.host.version),
}

const BACKUP_CODES = {
  path: 'INVALID_PARAMS',
  full: 'RESOURCE_EXHAUSTED',
  damaged: 'STORAGE_UNAVAILABLE',
  'under-way': 'CONFLICT',
} as const satisfies Readonly<Record<Extract<BackedUp, { ok: false }>['why'], ErrorCode>>

export const forAdmins = (caller: Caller): void => {
  if (caller.role !== 'admin') throw new Refusal('FORBIDDEN', 'this needs an admin key (hp_admin_...)')
}

type Filter = Omit<Params<'listWebhooks'>, 'limit' | 'cursor'>
const listFilter = ({ brand, domain, ...rest }: Filter, caller: Caller): ListFilter => ({
  brand: brandForRead(caller, brand),
  ...(domain === undefined ? {} : { domain: domainOf(domain) }),
  ...said(rest),
})
const said = <T extends object>(params: T): { [K in keyof T]: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(params).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>
  }
/** Everything at once must be said: an empty filter is rather a slip. */
const filterOf = (what: string, params: Filter, caller: Caller): ListFilter => {
  const { brand: _brand, ...narrows } = params
  if (Object.values(narrows).every((value) => value === undefined))
    throw new Refusal(
      'INVALID_PARAMS',
      `without state, domain, tag, name, from or to this would ${what} everything; give one of them`,
      { field: 'state' },
    )
  return listFilter(params, caller)
}

/** The guard that a host has now: its group's, or its own. */
const keyOf = (domain: Domain, backend: Backend): Domain => guardKeyOf(backend.groups(), domain)

/** A brand sees the guards of its webhooks' hosts. */
const seenDomain = async (text: string, caller: Caller, backend: Backend): Promise<Domain> => {
  const named = domainOf(text)
  if (caller.role === 'admin' || (await usesDomain(named, caller.brand, backend))) return keyOf(named, backend)
  throw new Refusal('NOT_FOUND', `there is no webhook of this brand for ${JSON.stringify(named)}`, { field: 'domain' })
}
const usesDomain = async (domain: Domain, brand: Brand | null, backend: Backend): Promise<boolean> => {
  const counts = await backend.read({ type: 'counts', brand, domain, now: backend.now() })
  return Object.values(counts).some((count: number) => count > 0)
}

/** A domain is everybody's, so only an admin pauses it; a brand may pause itself. */
const pause = async (
  what: { readonly domain: Domain } | { readonly brand: Brand },
  paused: boolean,
  reason: string | undefined,
  caller: Caller,
  backend: Backend,
): Promise<Paused> => {
  if ('domain' in what) forAdmins(caller)
  const domain = 'domain' in what ? what.domain : null
  const brand = 'brand' in what ? what.brand : null
  const setBy = `${caller.role} ${caller.keyId}${reason === undefined ? '' : `: ${reason}`}`
  await backend.setLimit({
    kind: 'pause',
    domain,
    brand,
    value: paused ? 1 : null,
    burst: null,
    setBy,
    setAt: backend.now(),
  })
  return { ...what, paused }
}

/** ATTEMPTS_IN_FLIGHT_MAX -> attemptsInFlightMax */
const camelCase = (name: string): string =>
  name.toLowerCase().replace(/_([a-z0-9])/g, (_match, letter: string) => letter.toUpperCase())
