/** Small mutations of the daemon, each of a rule that somebody might forget. The text must stand in the file exactly once. */
export interface PlantedBug {
  readonly name: string
  readonly file: string
  readonly from: string
  readonly to: string
}
const bug = (name: string, file: string, from: string, to: string): PlantedBug => ({ name, file, from, to })

export const PLANTED: readonly PlantedBug[] = [
  bug(
    'one more than the domain concurrency',
    'src/guard/admission.ts',
    'if (inFlight + reserved >= permits) return { by',
    'if (inFlight + reserved > permits) return { by',
  ),
  bug(
    'one more than the concurrency of a brand in a domain',
    'src/guard/admission.ts',
    'queue.inFlight + queue.reserved >= permits',
    'queue.inFlight + queue.reserved > permits',
  ),
  bug(
    'one more than the concurrency of a brand',
    'src/guard/brand-permits.ts',
    'Math.max(0, limit - permits.held.size - permits.grantedSum)',
    'Math.max(0, limit + 1 - permits.held.size - permits.grantedSum)',
  ),
  bug(
    'a rate that is a fifth too fast',
    'src/guard/rate.ts',
    'Math.max(state.nominalMono, atMono - back) + intervalMs(limit)',
    'Math.max(state.nominalMono, atMono - back) + 0.8 * intervalMs(limit)',
  ),
  bug(
    'a burst of one more',
    'src/guard/rate.ts',
    'state.nominalMono - (state.burst - 1) * intervalMs(state)',
    'state.nominalMono - state.burst * intervalMs(state)',
  ),
  bug(
    'the rate of a brand in a domain is not counted',
    'src/guard/admission.ts',
    'const brand = countRate(ground, brandKey, atMono)',
    'const brand = brandKey === ""',
  ),
  bug(
    'a closed domain is called',
    'src/guard/conditions.ts',
    'if (isClosed(closure, nowMono)) return {',
    'if (closure.ramp === -1) return {',
  ),
  bug(
    'a pause of a domain is not seen',
    'src/guard/admission.ts',
    'if (isPaused(limits, keys.pause)) return',
    'if (keys.pause === "") return',
  ),
  bug(
    'due five milliseconds early',
    'actors/scheduler/wake-up.ts',
    'tellDue(takeDue(state.horizon, toldBy(now, ctx)), now, state, ctx)',
    'tellDue(takeDue(state.horizon, toldBy(now, ctx) + 5), now, state, ctx)',
  ),
  bug(
    'nothing is read at the start of a scheduler',
    'actors/scheduler/audit.ts',
    '  scan(null, true, ctx)\n  tick(state, ctx)',
    '  tick(state, ctx)',
  ),
  bug(
    'a retry is not taken into the horizon',
    'actors/scheduler.ts',
    "    'retry-due': ({ due }, state, ctx) => {\n      admitRow(state.horizon, due, handedBy(ctx.world.wallNow()))",
    "    'retry-due': ({ due: _due }, state, ctx) => {",
  ),
  bug(
    'what was handed back counts as an attempt',
    'src/store/memory/memory-writes.ts',
    'const back = { ...row, attempts: row.attempts - 1, started: null',
    'const back = { ...row, started: null',
  ),
  bug(
    'a cancel that comes too late is answered with yes',
    'src/store/memory/memory-writes.ts',
    "  if (row.started !== null) return { outcome: 'alreadyRunning', due: null }\n",
    '',
  ),
  bug(
    'a start is no compare-and-set',
    'src/store/memory/memory-writes.ts',
    "if (row.started !== null && row.started.token !== op.token) return { ok: false, why: 'already-started' }\n  if (row.started === null) {",
    '{',
  ),
  bug(
    'any response is a delivery',
    'actors/execution.ts',
    "if (isDelivered(report.outcome)) state.phase = 'recording'",
    "if (report.outcome.kind === 'response') state.phase = 'recording'",
  ),
  bug(
    'what a dead thread held counts as unsent',
    'actors/execution.ts',
    'return onEnded(inDoubtReport(state, message.reason, ctx), message.lonelyDeaths, state, ctx)',
    'return handBack(state, ctx)',
  ),
  bug(
    'an execution does not notice the end of the pool',
    'actors/execution.ts',
    "  ctx.monitor(dispatchPool)\n  ctx.cast(dispatchPool, {\n    type: 'dispatch'",
    "  ctx.cast(dispatchPool, {\n    type: 'dispatch'",
  ),
  bug(
    'a dead retry process has no successor',
    'actors/retry-manager.ts',
    '          row.pid = null\n          startLater(attemptId, ctx)\n',
    '',
  ),
  bug(
    'one attempt more than the policy allows',
    'src/webhook/retry.ts',
    'if (ended.attempt >= policy.maxAttempts)',
    'if (ended.attempt > policy.maxAttempts)',
  ),
  bug('Retry-After is not heard', 'src/webhook/retry.ts', 'if (asked === null || asked < own)', 'if (asked !== -1)'),
  bug(
    'the pool takes permits of any incarnation',
    'actors/dispatch-pool/incarnations.ts',
    'guardIsCurrent(permit, state, ctx) && limiterIsCurrent(permit, state)',
    'permit.guard >= 0',
  ),
  bug(
    'a new guard does not hear what is in flight',
    'actors/guard/registration.ts',
    '  for (const [attemptId, brand] of inFlight) takeUp(attemptId, brand, now, null, state)\n',
    '',
  ),
  bug(
    'a new brand-limiter does not hear what is in flight',
    'actors/brand-limiter.ts',
    '  for (const { attemptId } of message.value.inFlight) state.permits.held.set(attemptId, { by: null, permit: null })\n',
    '',
  ),
  bug(
    'a dead thread is not replaced',
    'actors/dispatch-pool/carriers.ts',
    '  if (number === state.lonely) state.lonely = null\n  else startCarrier(state, ctx)\n',
    '  if (number === state.lonely) state.lonely = null\n',
  ),
  bug(
    'a guard does not notice the end of pool and executor',
    'actors/guard/registration.ts',
    'state.watched = [ctx.monitor(dispatchPool), ctx.monitor(executor)]',
    'state.watched = []',
  ),
  bug(
    'a permit that was not used does not come back',
    'actors/guard.ts',
    '      endFlight(attemptId, state, ctx)\n      readAgain(attemptId, brand, state)',
    '      readAgain(attemptId, brand, state)',
  ),
  bug(
    'attempts of a dead process hold nothing',
    'actors/executor/earlier-runs.ts',
    "page.rows.filter((row) => isOfDeadProcess(row, state) && howLost(row, state, ctx).how !== 'unsent')",
    'page.rows.filter(() => false)',
  ),
  bug(
    'attempts of a dead process are nobody',
    'actors/executor/earlier-runs.ts',
    '  for (const row of page.rows) takeUpRow(row, held, state, ctx)\n',
    '',
  ),
  bug(
    'a killed execution that had sent counts as unsent',
    'actors/dispatch-pool.ts',
    'const unsent = state.refused.delete(attemptId) || held !== undefined',
    'const unsent = held === undefined || held !== undefined',
  ),
  bug(
    'a group under way when the store dies is not sent again',
    'actors/store-keeper/written.ts',
    '  road.waiting.unshift(...giveUp(ctx, group))\n',
    '  giveUp(ctx, group)\n',
  ),
  bug(
    'a limit that was set does not hold before the next start',
    'actors/limits/holding.ts',
    '  table.set(keyOf(stored), stored)\n',
    '',
  ),
  bug(
    'limits are forgotten at a restart',
    'actors/limits/holding.ts',
    '  for (const row of stored) if (!isKeptCondition(row)) table.set(keyOf(row), row)\n',
    '',
  ),
  bug(
    'a cancel is not synced before it is answered',
    'src/store/store.ts',
    "  'prune',\n])",
    "  'prune',\n  'cancel',\n])",
  ),
  bug(
    'an append is not synced before it is answered',
    'src/store/store.ts',
    "  'prune',\n])",
    "  'prune',\n  'append',\n])",
  ),
  bug(
    'a limit is not synced before it is answered',
    'src/store/store.ts',
    "  'prune',\n])",
    "  'prune',\n  'set-limit',\n])",
  ),
  bug(
    'a store-keeper that was killed goes on opening',
    'actors/store-keeper/holding.ts',
    '      if (this.#closed) return error\n',
    '',
  ),
  bug(
    'a guard tells what a dead process held as its own',
    'actors/guard/limiters.ts',
    ' && flight.heldUntilMono === null) attempts',
    ') attempts',
  ),
  bug(
    'hosts that come together have nothing in flight',
    'actors/dispatch-pool/incarnations.ts',
    '(held) => guardKeyIn(ctx, held.permit.domain) === domain, state, ctx)',
    '(held) => held.permit.domain === domain, state, ctx)',
  ),
  bug(
    'a guard whose hosts changed goes on, and its permits are taken',
    'src/webhook/domain-group.ts',
    'export const epochOf = (book: GroupBook, key: Domain): number => lastTouch(book, key)?.version ?? 0',
    'export const epochOf = (_book: GroupBook, _key: Domain): number => 0',
  ),
  bug(
    'the rate of a group begins anew when a host comes in',
    'actors/guard/ground.ts',
    'const unknownSinceMono = Math.max(known.lastStartMono, touchedMono)',
    'const unknownSinceMono = Math.min(known.lastStartMono, touchedMono)',
  ),
  bug(
    'what a dead process left at work at the hosts of a group holds nothing',
    'actors/guard/permits.ts',
    'return host !== null && guardKeyIn(ctx, host) === domain ? row : []',
    'return host === domain ? row : []',
  ),
  bug(
    'a group does not hear that one of its hosts is closed',
    'actors/limits/regrouping.ts',
    '  for (const [key, row] of [...conditions.entries()]) handOver(key, row, book, conditions)\n',
    '',
  ),
  bug(
    'what was answered still counts as waiting for the store',
    'actors/store-keeper/answers.ts',
    "if (op.type === 'append') gaveBack(",
    "if (op.type === 'append' && op.count < 0) gaveBack(",
  ),
  bug(
    'a level of overload is never left',
    'src/overload/levels.ts',
    "return { level: LEVELS[rank(before.level) - 1] ?? 'none', cause, calmSinceMono: nowMono }",
    'return { level: before.level, cause, calmSinceMono: nowMono }',
  ),
  bug(
    'a store that could not be opened is tried again after half a minute',
    'actors/store-keeper/reopening.ts',
    "'closed')\n  ctx.sendAfter(state.reopenMs, {",
    "'closed')\n  ctx.sendAfter(30_000, {",
  ),
]
