/** session: subscriptions to the supervisors' events and to the monitor. */
import { isMuted, leftOut } from '#actors/session/door.ts'
import { type Ctx, callerOf, type State, settle } from '#actors/session/state.ts'
import { OVERLOAD_MONITOR_EVERY } from '#config/limits.ts'
import { domainOf } from '#control/domain-groups.ts'
import { readParams } from '#control/explain.ts'
import type { Asked } from '#control/flight.ts'
import { forAdmins, runMethod } from '#control/methods.ts'
import type { NewsItem } from '#control/news.ts'
import { METHODS } from '#control/protocol.ts'
import { Refusal } from '#control/refusal.ts'
import { concerns, eventText, feedData, type Subscribed } from '#control/subscriptions.ts'
import { FEED_TOPICS, type FeedEntry, type FeedTopic } from '#telemetry/feed.ts'

const SAMPLE_MS = 1_000

export const subscribe = (params: object | undefined, asked: Asked, state: State, ctx: Ctx): void => {
  const { topics, filter, fromSeq } = readParams(METHODS.subscribe.params, params ?? {})
  if (state.transport.oneShot) throw new Refusal('INVALID_PARAMS', 'events need a WebSocket; a POST has one answer')
  // What happens to a domain is everybody's at it: which others are there is not a brand's to know.
  if (topics.includes('supervision') || topics.includes('backpressure')) forAdmins(callerOf(state))
  const domain = filter?.domain === undefined ? null : domainOf(filter.domain)
  const subscribed = state.subscriptions.add(topics, domain)
  settle(asked, JSON.stringify({ subscription: subscribed.id }), state)
  for (const topic of FEED_TOPICS) {
    if (!topics.includes(topic)) continue
    watchFeed(topic, state, ctx)
    if (fromSeq !== undefined) tellMissed(topic, fromSeq, subscribed, state)
  }
  if (topics.includes('monitor') && !state.samples) {
    state.samples = true
    ctx.send(ctx.self, { type: 'sample' })
  }
}

export const unsubscribe = (params: object | undefined, asked: Asked, state: State): void => {
  const { subscription } = readParams(METHODS.unsubscribe.params, params ?? {})
  if (!state.subscriptions.remove(subscription))
    throw new Refusal('NOT_FOUND', `there is no subscription ${JSON.stringify(subscription)} on this socket`, {
      field: 'subscription',
    })
  settle(asked, '{}', state)
}

const watchFeed = (topic: FeedTopic, state: State, ctx: Ctx): void => {
  if (state.watches.has(topic)) return
  state.watches.add(topic)
  let isMarked = false
  const watcher = (entry: FeedEntry): void => {
    if (!concerns(entry.event, callerOf(state).brand, null)) return
    if (!isMuted(topic, ctx)) {
      isMarked = false
      return tellLater(entry, state, ctx)
    }
    leftOut(ctx)
    // In its place among the events, once.
    if (!isMarked) tellLater({ gap: topic }, state, ctx)
    isMarked = true
  }
  ctx.own(state.shared.feed.watch(topic, watcher))
}

const tellLater = (item: NewsItem, { news }: State, ctx: Ctx): void => {
  if (news.add(item)) ctx.send(ctx.self, { type: 'news' })
}
export const tellNews = (state: State): void => {
  for (const item of state.news.take()) {
    if ('gap' in item) feedGap(item.gap, state)
    else tellFeed(item, state)
  }
}

const tellMissed = (topic: FeedTopic, fromSeq: number, subscribed: Subscribed, state: State): void => {
  const { entries, gap } = state.shared.feed.since(topic, fromSeq)
  const brand = callerOf(state).brand
  if (gap) subscribed.gaps.add(topic)
  for (const entry of entries)
    if (concerns(entry.event, brand, subscribed.domain))
      state.out.push(eventText(subscribed, topic, entry.seq, feedData(entry)))
}

const tellFeed = (entry: FeedEntry, state: State): void => {
  const data = feedData(entry)
  for (const subscribed of state.subscriptions.of(entry.topic)) {
    if (!concerns(entry.event, null, subscribed.domain)) continue
    if (state.clogged !== null) subscribed.gaps.add(entry.topic)
    else state.out.push(eventText(subscribed, entry.topic, entry.seq, data))
  }
}

const feedGap = (topic: FeedTopic, state: State): void => {
  for (const subscribed of state.subscriptions.of(topic)) subscribed.gaps.add(topic)
}

/** Under overload every fifth one is told, with the mark of a gap: their reading is work for the store. */
export const sample = (state: State, ctx: Ctx): void => {
  const subscribed = state.subscriptions.of('monitor')
  state.samples = subscribed.length > 0
  if (!state.samples) return
  state.samplesThinned = isMuted('monitor', ctx) ? (state.samplesThinned + 1) % OVERLOAD_MONITOR_EVERY : 0
  if (state.samplesThinned > 0) {
    leftOut(ctx)
    for (const one of subscribed) one.gaps.add('monitor')
    ctx.sendAfter(SAMPLE_MS, { type: 'sample' })
    return
  }
  for (const { id, domain } of subscribed) {
    const params = domain === null ? {} : { domain }
    ctx.pipe(runMethod('getMonitor', params, callerOf(state), state.backend), 'sampled', id)
  }
  ctx.sendAfter(SAMPLE_MS, { type: 'sample' })
}

export const tellSample = (id: string, value: unknown, state: State, ctx: Ctx): void => {
  const subscribed = state.subscriptions.of('monitor').find((one) => one.id === id)
  if (subscribed === undefined) return
  if (state.clogged !== null) subscribed.gaps.add('monitor')
  else state.out.push(eventText(subscribed, 'monitor', ctx.world.wallNow(), JSON.stringify(value)))
}
