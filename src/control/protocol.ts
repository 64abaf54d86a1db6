/**
 * The methods of the control channel: for each its schema, which is the single source of parsing, types and the OpenRPC
 * document. What is not in a schema is an unknown parameter, and refused.
 */
import { z } from 'zod'
import {
  BATCH_WEBHOOKS_MAX,
  BRAND_WEIGHT_MAX,
  BRAND_WEIGHT_MIN,
  FILTER_WEBHOOKS_MAX,
  GROUP_MEMBERS_MAX,
  LIST_LIMIT_MAX,
  PATH_CHARS_MAX,
  RETRY_AGE_MAX_MS,
  RETRY_BUDGET_MAX,
} from '#config/limits.ts'
import { BREAKER_OPEN_MS_MAX } from '#guard/breaker.ts'
import type { Shed } from '#overload/levels.ts'
import { FINAL_STATES, WEBHOOK_STATES, type WebhookState } from '#webhook/webhook.ts'
import type {
  AllLimits,
  Attempts,
  Authenticated,
  Brands,
  BreakerView,
  CancelledWebhooks,
  CancelOutcome,
  CreatedKey,
  DomainGroupView,
  Explanation,
  ForecastView,
  GuardList,
  GuardView,
  Info,
  KeyList,
  KeyView,
  Killed,
  LimitsView,
  MonitorView,
  Paused,
  ReplayedWebhooks,
  ScheduledWebhook,
  ScheduledWebhooks,
  StoreBackup,
  Subscription,
  SupervisionTree,
  WebhookPage,
  WebhookView,
} from './results.ts'
import {
  brand,
  burst,
  CLOSURES,
  concurrencyLimit,
  delay,
  domain,
  instant,
  member,
  name,
  rateLimit,
  reason,
  tag,
  webhook,
  webhookDefaults,
  webhookId,
  whole,
} from './schema.ts'

export type { EventNotice } from './results.ts'

export const SUBSCRIPTION_TOPICS = ['monitor', 'webhooks', 'backpressure', 'supervision'] as const
export type Topic = (typeof SUBSCRIPTION_TOPICS)[number]

export interface MethodSpec {
  readonly params: z.ZodType
  readonly summary: string
  /** Only with an admin key. */
  readonly admin?: true
  /** Refused from this level of overload on (reliability.md O2); left out: never. */
  readonly shed?: Exclude<Shed, 'streams'>
}

const stateOf = <const S extends readonly [WebhookState, ...WebhookState[]]>(states: S) =>
  z
    .enum(states)
    .optional()
    .describe(`one of ${states.join(', ')}`)
const newId = z.boolean().optional().describe('true or false')
const cursor = z
  .string()
  .regex(/^\d{1,16}$/)
  .optional()
  .describe('the nextCursor of an earlier answer, as it was given')
const filterFields = {
  domain: domain.optional(),
  tag: tag.optional(),
  name: name.optional(),
  from: instant.optional(),
  to: instant.optional(),
  brand: brand.optional(),
}
const byId = z.strictObject({ id: webhookId, brand: brand.optional() })

export const METHODS = {
  scheduleWebhook: {
    params: webhook,
    summary: 'Schedules one webhook; answered when it is on disk.',
    shed: 'schedules',
  },
  scheduleWebhooks: {
    params: z.strictObject({
      webhooks: z
        .array(webhook)
        .min(1)
        .max(BATCH_WEBHOOKS_MAX)
        .describe(`a list of 1 to ${BATCH_WEBHOOKS_MAX} webhooks`),
      defaults: webhookDefaults.optional().describe('an object with fields of a webhook'),
      brand: brand.optional(),
    }),
    summary: 'Schedules up to 10,000 webhooks, all or none; `defaults` are merged into each.',
    shed: 'schedules',
  },
  getWebhook: { params: byId, summary: 'One webhook with its state.' },
  listWebhooks: {
    params: z.strictObject({
      ...filterFields,
      state: stateOf(WEBHOOK_STATES),
      limit: whole(1, LIST_LIMIT_MAX, 'a whole number').optional(),
      cursor,
    }),
    summary: 'Webhooks by state, domain, tag, name and instant, in pages.',
    shed: 'lists',
  },
  getAttempts: { params: byId, summary: 'Every attempt of one webhook.' },
  explainWebhook: { params: byId, summary: 'What a webhook waits for, where it stands, and until when.' },
  cancelWebhooks: {
    params: z.strictObject({ ...filterFields, state: stateOf(['scheduled', 'waiting', 'retrying']) }),
    summary: `Cancels what waits and matches, up to ${FILTER_WEBHOOKS_MAX} a call; \`more\` asks for another.`,
  },
  rescheduleWebhook: {
    params: z.strictObject({
      id: webhookId,
      at: instant.optional(),
      delayMs: delay.optional(),
      brand: brand.optional(),
    }),
    summary: 'Gives a webhook that waits another instant; the age of its retries counts from there.',
  },
  runWebhookNow: { params: byId, summary: 'Makes a webhook that waits due now; through the guard like any other.' },
  replayWebhook: {
    params: z.strictObject({ id: webhookId, newId, brand: brand.optional() }),
    summary: 'Sends a finished webhook again: a new series of attempts under the same id, or a new webhook.',
    shed: 'schedules',
  },
  replayWebhooks: {
    params: z.strictObject({ ...filterFields, state: stateOf(FINAL_STATES), newId, cursor }),
    summary: `Replays what is over (dead by default) and matches, up to ${FILTER_WEBHOOKS_MAX} a call; where \`more\`, \`nextCursor\` goes on.`,
    shed: 'schedules',
  },
  cancelWebhook: { params: byId, summary: 'Cancels a webhook that is not running; afterwards no attempt starts.' },
  configureBrandConcurrencyLimit: {
    params: z.strictObject({ limit: concurrencyLimit, brand: brand.optional() }),
    summary: 'How many requests of a brand may be open at once, over all domains.',
  },
  configureDomainConcurrencyLimit: {
    params: z.strictObject({
      domain,
      limit: concurrencyLimit,
      brand: brand.optional(),
      adaptive: z.boolean().optional().describe('true or false'),
    }),
    summary: 'How many requests may be open at a domain at once.',
  },
  configureRateLimit: {
    params: z.strictObject({
      domain,
      requestsPerSecond: rateLimit,
      burst: burst.optional(),
      brand: brand.optional(),
    }),
    summary: 'How many requests may start at a domain per second.',
  },
  configureBreaker: {
    params: z.strictObject({
      domain,
      enabled: z.boolean().nullable().optional().describe('true, false, or null for the default (true)'),
      openMs: whole(1, BREAKER_OPEN_MS_MAX, 'whole milliseconds').nullable().optional(),
      closure: z
        .enum(CLOSURES)
        .nullable()
        .optional()
        .describe(`${CLOSURES.join(', ')}, or null for the default (brand)`),
      retryBudget: z
        .number()
        .min(0)
        .max(RETRY_BUDGET_MAX)
        .nullable()
        .optional()
        .describe(`retries per first try, from 0 to ${RETRY_BUDGET_MAX} (as good as off), or null for 0.1`),
    }),
    summary: 'How a guard takes failures: breaker, closure by 429, retry budget. What is left out stays; null resets.',
    admin: true,
  },
  configureDomainGroup: {
    params: z.strictObject({
      group: z.string().min(1).max(70).describe('a name like payments'),
      members: z
        .array(member)
        .max(GROUP_MEMBERS_MAX)
        .nullable()
        .describe(
          `at most ${GROUP_MEMBERS_MAX} hosts like api.example.com or *.example.org; [] or null dissolves the group`,
        ),
    }),
    summary: 'Puts several hosts under one guard. Its limits are those of the domain group:<name>.',
    admin: true,
  },
  configureBrandWeight: {
    params: z.strictObject({
      weight: z
        .number()
        .min(BRAND_WEIGHT_MIN)
        .max(BRAND_WEIGHT_MAX)
        .nullable()
        .describe(`a number from ${BRAND_WEIGHT_MIN} to ${BRAND_WEIGHT_MAX}, or null for the default (1)`),
      brand: brand.optional(),
      domain: domain.optional(),
    }),
    summary: 'The share of the starts that a brand has among brands that wait, everywhere or at one domain.',
    admin: true,
  },
  configureBrandBacklog: {
    params: z.strictObject({
      limit: whole(0, Number.MAX_SAFE_INTEGER, 'a whole number')
        .nullable()
        .describe('a whole number from 0, or null to remove the bound'),
      brand: brand.optional(),
    }),
    summary: 'How many unfinished webhooks a brand may have; beyond it scheduling answers RESOURCE_EXHAUSTED.',
    admin: true,
  },
  pauseDomain: {
    params: z.strictObject({ domain, reason: reason.optional() }),
    summary: 'Holds every webhook of a domain until it is resumed.',
    admin: true,
  },
  resumeDomain: { params: z.strictObject({ domain }), summary: 'Lets a domain go on.', admin: true },
  pauseBrand: {
    params: z.strictObject({ brand: brand.optional(), reason: reason.optional() }),
    summary: 'Holds every webhook of a brand until it is resumed.',
  },
  resumeBrand: { params: z.strictObject({ brand: brand.optional() }), summary: 'Lets a brand go on.' },
  getLimits: {
    params: z.strictObject({ domain: domain.optional(), brand: brand.optional() }),
    summary: 'Every limit with its version and who set it.',
  },
  getMonitor: {
    params: z.strictObject({ domain: domain.optional(), brand: brand.optional() }),
    summary: 'Current concurrency, rates, queue depths, lateness, traffic and backpressure.',
  },
  getGuard: {
    params: z.strictObject({ domain }),
    summary: 'The guard of a domain: limits, what runs, what waits by brand and priority, time to drain.',
  },
  forecast: {
    params: z.strictObject({
      domain,
      from: instant.optional(),
      to: instant.optional(),
      bucketMs: whole(1, RETRY_AGE_MAX_MS, 'whole milliseconds').optional(),
    }),
    summary: 'What is scheduled for a domain against its limits: due, admitted and backlog per bucket of time.',
    shed: 'lists',
  },
  listGuards: { params: z.strictObject({}), summary: 'Every guard that is at work, the busiest first.', admin: true },
  listBrands: { params: z.strictObject({}), summary: 'Every brand.', admin: true },
  createApiKey: {
    params: z.strictObject({
      role: z.enum(['admin', 'brand']).optional().describe('admin or brand'),
      brand: brand.optional(),
      expiresAt: instant.optional(),
    }),
    summary: 'Makes a key and shows it, this once. A brand key (the default role) speaks for one brand.',
    admin: true,
  },
  listApiKeys: {
    params: z.strictObject({ brand: brand.optional() }),
    summary: 'Every key, without itself.',
    admin: true,
  },
  revokeApiKey: {
    params: z.strictObject({ id: z.string().min(1).max(64).describe('the id of a key, like key_22dc0170...') }),
    summary: 'Ends a key for good, on open sockets too.',
    admin: true,
  },
  subscribe: {
    params: z.strictObject({
      topics: z
        .array(z.enum(SUBSCRIPTION_TOPICS).describe(`one of ${SUBSCRIPTION_TOPICS.join(', ')}`))
        .min(1)
        .max(SUBSCRIPTION_TOPICS.length)
        .describe(`a list of ${SUBSCRIPTION_TOPICS.join(', ')}`),
      filter: z.strictObject({ domain: domain.optional() }).optional().describe('an object with domain'),
      fromSeq: whole(0, Number.MAX_SAFE_INTEGER, 'a whole number').optional(),
    }),
    summary: 'Events of these topics, as notifications `event` on this socket.',
    shed: 'lists',
  },
  unsubscribe: {
    params: z.strictObject({
      subscription: z.string().min(1).max(32).describe('the subscription of an earlier answer'),
    }),
    summary: 'Ends a subscription.',
  },
  getSupervisionTree: { params: z.strictObject({}), summary: 'Every process of the daemon.', admin: true },
  killProcess: {
    params: z.strictObject({
      pid: whole(0, Number.MAX_SAFE_INTEGER, 'a whole number').optional(),
      name: z.string().min(1).max(300).optional().describe('the name of a process, like scheduler'),
      reason: z.string().min(1).max(64).optional().describe('a short text'),
    }),
    summary: 'Kills a process, to see it come back.',
    admin: true,
  },
  backupStore: {
    params: z.strictObject({
      path: z
        .string()
        .min(1)
        .max(PATH_CHARS_MAX)
        .describe("an absolute path of a new file on the daemon's machine, like /backup/hookpulse.db"),
    }),
    summary: 'Copies the whole store into a new file while the daemon runs, and checks the copy.',
    admin: true,
  },
  getInfo: { params: z.strictObject({}), summary: 'Version, node, store and the limits of the protocol.' },
  authenticate: {
    params: z.strictObject({ key: z.string().min(1).max(128).describe('a key, like hp_brand_...') }),
    summary: 'Tells the key where the upgrade could not carry it.',
  },
  'rpc.discover': { params: z.strictObject({}), summary: 'The OpenRPC document of this channel.' },
} as const satisfies Readonly<Record<string, MethodSpec>>

export type MethodName = keyof typeof METHODS
export const isMethodName = (text: string): text is MethodName => Object.hasOwn(METHODS, text)

/** What a client sends. */
export type ParamsIn<M extends MethodName> = z.input<(typeof METHODS)[M]['params']>
/** What a method gets: instants are epoch milliseconds. */
export type Params<M extends MethodName> = z.output<(typeof METHODS)[M]['params']>

export interface Results {
  scheduleWebhook: ScheduledWebhook
  scheduleWebhooks: ScheduledWebhooks
  getWebhook: WebhookView
  listWebhooks: WebhookPage
  getAttempts: Attempts
  explainWebhook: Explanation
  cancelWebhook: CancelOutcome
  cancelWebhooks: CancelledWebhooks
  rescheduleWebhook: WebhookView
  runWebhookNow: WebhookView
  replayWebhook: WebhookView
  replayWebhooks: ReplayedWebhooks
  configureBrandConcurrencyLimit: LimitsView
  configureDomainConcurrencyLimit: LimitsView
  configureRateLimit: LimitsView
  configureBreaker: BreakerView
  configureDomainGroup: DomainGroupView & {
    /** Members with limits of their own, which do not count while they are in the group. */
    readonly resting: readonly string[]
  }
  configureBrandWeight: LimitsView
  configureBrandBacklog: LimitsView
  forecast: ForecastView
  pauseDomain: Paused
  resumeDomain: Paused
  pauseBrand: Paused
  resumeBrand: Paused
  getLimits: AllLimits
  getMonitor: MonitorView
  getGuard: GuardView
  listGuards: GuardList
  listBrands: Brands
  createApiKey: CreatedKey
  listApiKeys: KeyList
  revokeApiKey: KeyView
  subscribe: Subscription
  unsubscribe: Readonly<Record<string, never>>
  getSupervisionTree: SupervisionTree
  killProcess: Killed
  backupStore: StoreBackup
  getInfo: Info
  authenticate: Authenticated
  'rpc.discover': Readonly<Record<string, unknown>>
}
