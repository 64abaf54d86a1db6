/**
 * What a client said about a webhook, made into the row that is stored and the head that the scheduler carries. Pure but
 * for the id and the instant that it is given; runs in a session for small frames and in the ingest thread for large ones.
 */
import { hash } from 'node:crypto'
import { BODY_BYTES_DEFAULT_MAX, TIMEOUT_MS_DEFAULT, WEBHOOK_NODES_MAX } from '#config/limits.ts'
import type { NewWebhook } from '#store/store.ts'
import type { AddressPolicy } from '#webhook/address.ts'
import { type HeadersParsed, parseHeaders, parseMethod } from '#webhook/headers.ts'
import type { Refusal as WebhookRefusal } from '#webhook/refusal.ts'
import { packRequest } from '#webhook/request.ts'
import { DEFAULT_RETRY_POLICY } from '#webhook/retry.ts'
import { parseTarget, type Target } from '#webhook/url.ts'
import type { Brand, Due, Instant, RetryPolicy, WebhookId } from '#webhook/webhook.ts'
import { Refusal, show } from './refusal.ts'
import type { WebhookDefaults, WebhookParams } from './schema.ts'

export type Head = Omit<Due, 'seq'>
export interface Taken {
  readonly row: NewWebhook
  readonly head: Head
}
export interface Given {
  readonly id: WebhookId
  readonly brand: Brand
  readonly now: Instant
  /** Before field names in refusals: `webhooks[3]`, or empty. */
  readonly prefix: string
}

/** Most webhooks of a client go to few URLs; this many are remembered as judged. */
const TARGETS_KEPT = 4_096

/** Reads webhooks under one address policy. Throws Refusal, with the field, for what cannot be scheduled. */
export class WebhookReader {
  readonly #policy: AddressPolicy
  readonly #targets = new Map<string, Target>()
  constructor(policy: AddressPolicy) {
    this.#policy = policy
  }

  take(params: WebhookParams, given: Given): Taken {
    const field = (name: string): string => (given.prefix === '' ? name : `${given.prefix}.${name}`)
    boundNodes(params, given.prefix)
    const target = this.#target(params.url, field('url'))
    const at = atOf(params, given.now, field)
    const nextAt = Math.max(at, given.now)
    const expiresAt = expiryOf(params, nextAt, field)
    const method = parseMethod(params.method ?? 'POST', field('method'))
    if (!method.ok) throw refused(method.refusal)
    const body = bodyOf(params, method.method, field)
    const head: Head = {
      id: given.id,
      nextAt,
      brand: given.brand,
      domain: target.domain,
      priority: params.priority ?? 'normal',
      attempts: 0,
      timeoutMs: params.timeoutMs ?? TIMEOUT_MS_DEFAULT,
      expiresAt,
    }
    const row: NewWebhook = {
      ...head,
      name: params.name ?? null,
      url: target.url,
      host: target.domain,
      method: method.method,
      at,
      createdAt: given.now,
      retry: params.retry === undefined ? null : completeRetry(params.retry, field),
      tags: params.tags ?? [],
      idempotencyKey: params.idempotencyKey ?? null,
      contentHash: params.idempotencyKey === undefined ? null : contentHash(params, body.content),
      request: packRequest({
        url: target.url,
        method: method.method,
        headers: headersOf(params, body.contentType, field),
        body: body.content,
      }),
    }
    return { row, head }
  }

  #target(url: string, field: string): Target {
    const known = this.#targets.get(url)
    if (known !== undefined) return known
    const parsed = parseTarget(url, this.#policy, field)
    if (!parsed.ok) throw refused(parsed.refusal)
    if (this.#targets.size >= TARGETS_KEPT) this.#targets.clear()
    this.#targets.set(url, parsed.target)
    return parsed.target
  }
}

/** A refusal of the webhook room, as the wire has it. */
export const refused = (refusal: WebhookRefusal): Refusal =>
  new Refusal(refusal.code === 'blocked_target' ? 'BLOCKED_TARGET' : 'INVALID_PARAMS', refusal.message, {
    field: refusal.field,
  })

type FieldName = (name: string) => string
const wrong = (field: string, problem: string): Refusal =>
  new Refusal('INVALID_PARAMS', `${field} ${problem}`, { field })

const boundNodes = (params: WebhookParams, prefix: string): void => {
  const backoff = params.retry?.backoff
  const nodes =
    Object.keys(params).length +
    Object.keys(params.headers ?? {}).length +
    (params.tags?.length ?? 0) +
    Object.keys(params.retry ?? {}).length +
    (Array.isArray(backoff) ? backoff.length : 0)
  if (nodes > WEBHOOK_NODES_MAX)
    throw wrong(
      prefix === '' ? 'params' : prefix,
      `holds ${nodes} values outside body; at most ${WEBHOOK_NODES_MAX} are allowed`,
    )
}

const atOf = (params: WebhookParams, now: Instant, field: FieldName): Instant => {
  if (params.at === undefined) return now + (params.delayMs ?? 0)
  if (params.delayMs !== undefined) throw wrong(field('delayMs'), 'is given beside at; give one of them')
  return params.at
}

const expiryOf = (params: WebhookParams, nextAt: Instant, field: FieldName): Instant | null => {
  if (params.expiresAt === undefined) return null
  if (params.expiresAt <= nextAt)
    throw wrong(field('expiresAt'), 'is not after the instant at which the webhook is due; give a later one')
  return params.expiresAt
}

interface Body {
  /** Text is sent as UTF-8. */
  readonly content: string | Uint8Array
  readonly contentType: string | null
}

const bodyOf = (params: WebhookParams, method: string, field: FieldName): Body => {
  const body = oneBody(params, field)
  const bytes = typeof body.content === 'string' ? Buffer.byteLength(body.content) : body.content.length
  if (bytes > BODY_BYTES_DEFAULT_MAX)
    throw wrong(field(bodyField(params)), `takes ${bytes} bytes; at most ${BODY_BYTES_DEFAULT_MAX} are allowed`)
  if (body.contentType !== null && (method === 'GET' || method === 'HEAD'))
    throw wrong(field(bodyField(params)), `is given for ${method}, which has no body; leave it out or use POST`)
  return body
}

const oneBody = (params: WebhookParams, field: FieldName): Body => {
  const given = BODY_FIELDS.filter((name) => params[name] !== undefined)
  if (given.length > 1) throw wrong(field(given[1] ?? 'body'), `is given beside ${given[0]}; give one of them`)
  if (params.body !== undefined) return { content: JSON.stringify(params.body), contentType: 'application/json' }
  if (params.bodyText !== undefined) return textBody(params.bodyText, field)
  if (params.bodyBase64 !== undefined) return base64Body(params.bodyBase64, field)
  return { content: '', contentType: null }
}

const BODY_FIELDS = ['body', 'bodyText', 'bodyBase64'] as const
const bodyField = (params: WebhookParams): string => BODY_FIELDS.find((name) => params[name] !== undefined) ?? 'body'

const textBody = (text: string, field: FieldName): Body => {
  if (!text.isWellFormed())
    throw wrong(field('bodyText'), 'holds half of a surrogate pair, which UTF-8 cannot say; use bodyBase64')
  return { content: text, contentType: 'text/plain; charset=utf-8' }
}

const base64Body = (text: string, field: FieldName): Body => {
  const bytes = Buffer.from(text, 'base64')
  if (bytes.toString('base64') !== text)
    throw wrong(field('bodyBase64'), `is ${show(text)}, which is not standard base64 with padding`)
  return { content: bytes, contentType: 'application/octet-stream' }
}

const headersOf = (
  params: WebhookParams,
  contentType: string | null,
  field: FieldName,
): readonly (readonly [string, string])[] => {
  const parsed: HeadersParsed =
    params.headers === undefined ? { ok: true, headers: [] } : parseHeaders(params.headers, field('headers'))
  if (!parsed.ok) throw refused(parsed.refusal)
  if (contentType === null || parsed.headers.some(([name]) => name === 'content-type')) return parsed.headers
  return [['content-type', contentType], ...parsed.headers]
}

/** What is left out is as in the default policy; delays that are computed need a rule, which is then exponential. */
const completeRetry = (retry: NonNullable<WebhookParams['retry']>, field: FieldName): RetryPolicy => {
  const computed = retry.initialDelayMs !== undefined || retry.maxDelayMs !== undefined
  const backoff = retry.backoff ?? (computed ? 'exponential' : DEFAULT_RETRY_POLICY.backoff)
  const own = Array.isArray(retry.backoff) ? retry.backoff.length + 1 : DEFAULT_RETRY_POLICY.maxAttempts
  const policy: RetryPolicy = {
    maxAttempts: retry.maxAttempts ?? own,
    backoff,
    initialDelayMs: retry.initialDelayMs ?? DEFAULT_RETRY_POLICY.initialDelayMs,
    maxDelayMs: retry.maxDelayMs ?? DEFAULT_RETRY_POLICY.maxDelayMs,
    jitter: retry.jitter ?? DEFAULT_RETRY_POLICY.jitter,
    inDoubt: retry.inDoubt ?? 'retry',
  }
  if (policy.maxDelayMs < policy.initialDelayMs)
    throw wrong(
      field('retry.maxDelayMs'),
      `is ${policy.maxDelayMs}, less than initialDelayMs, ${policy.initialDelayMs}; give at least as much`,
    )
  return policy
}

/** Of everything that was said, as it was said: a key sent again an hour later with `delayMs` is the same webhook. */
const contentHash = (params: WebhookParams, body: string | Uint8Array): Uint8Array => {
  const said = JSON.stringify(HASHED_FIELDS.map((name) => params[name] ?? null))
  return typeof body === 'string'
    ? hash('sha256', `${said}${bodyField(params)}${body}`, 'buffer')
    : hash('sha256', Buffer.concat([Buffer.from(said), body]), 'buffer')
}
const HASHED_FIELDS = [
  'url',
  'method',
  'headers',
  'at',
  'delayMs',
  'priority',
  'timeoutMs',
  'retry',
  'expiresAt',
  'name',
  'tags',
] as const

/** `defaults` merged into one webhook: headers one by one, a body or an instant of the webhook's own replaces any default. */
export const withDefaults = (defaults: WebhookDefaults, own: WebhookDefaults, prefix: string): WebhookParams => {
  const { body, bodyText, bodyBase64, at, delayMs, headers, ...rest } = defaults
  const url = own.url ?? defaults.url
  if (url === undefined)
    throw wrong(`${prefix}.url`, 'is missing; it must be an http or https URL, here or in defaults')
  const hasBody = BODY_FIELDS.some((name) => own[name] !== undefined)
  const hasInstant = own.at !== undefined || own.delayMs !== undefined
  return {
    ...rest,
    ...(hasBody ? {} : defined({ body, bodyText, bodyBase64 })),
    ...(hasInstant ? {} : defined({ at, delayMs })),
    ...own,
    ...(headers === undefined ? {} : { headers: mergedHeaders(headers, own.headers ?? {}) }),
    url,
  }
}

/** The fields that are there: with exact optional properties `undefined` is not the same as left out. */
const defined = <T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } => {
  const kept: { [K in keyof T]?: Exclude<T[K], undefined> } = {}
  for (const key in fields) {
    const value = fields[key]
    if (isThere(value)) kept[key] = value
  }
  return kept
}
const isThere = <T>(value: T): value is Exclude<T, undefined> => value !== undefined

const mergedHeaders = (
  defaults: Readonly<Record<string, string>>,
  own: Readonly<Record<string, string>>,
): Record<string, string> => {
  const named = new Set(Object.keys(own).map((name) => name.toLowerCase()))
  const kept = Object.entries(defaults).filter(([name]) => !named.has(name.toLowerCase()))
  return Object.fromEntries([...kept, ...Object.entries(own)])
}
