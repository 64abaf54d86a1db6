/** How often what happened: a fault that is drawn and never meets anything is no test. Counted by what took effect, not by what was drawn. */
export class Tally {
  readonly counts = new Map<string, number>()

  count(what: string, times = 1): void {
    if (times > 0) this.counts.set(what, (this.counts.get(what) ?? 0) + times)
  }
  add(others: ReadonlyMap<string, number>): void {
    for (const [what, times] of others) this.count(what, times)
  }
}

/** What must have happened over the seeds of the short run: with fewer, its silence would say nothing. */
export const MUST_HAPPEN: readonly string[] = [
  // The process and the machine.
  'kill -9',
  'kill -9 during recovery',
  'kill -9 during a stop',
  'power cut',
  'power cut: an attempt forgotten',
  'power cut: an outcome forgotten',
  'graceful stop',
  'graceful stop with attempts in flight',
  'freeze',
  'freeze with attempts in flight',
  'suspend',
  'clock forward',
  'clock back',
  'thread death',
  'thread did not start',
  'store thread death',
  // Actors, each between two callbacks and in the middle of something.
  'killed brand-limiter',
  'killed brand-limiter with attempts of its brand in flight',
  'killed delivery',
  'killed dispatch-pool',
  'killed execution',
  'killed executions',
  'killed executor',
  'killed guard',
  'killed guards',
  'killed limits',
  'killed retries',
  'killed retry',
  'killed retry-manager',
  'killed root',
  'killed scheduler',
  'killed store-keeper',
  // The store.
  'store: error before the write',
  'store: answer lost after the write',
  'store: slow',
  'store: read error',
  'store: did not open',
  // Receivers.
  'answer 2xx',
  'answer 429',
  'answer 429 with Retry-After',
  'answer 5xx',
  'no answer',
  'broken answer',
  'connection refused',
  'request that kills its thread',
  'request that hangs its thread',
  // What they do to the guard.
  'event guard.closed',
  'event guard.reopened',
  'event breaker.opened',
  'event breaker.closed',
  // Clients.
  'schedule without an answer',
  'schedule said again with the same ids',
  'schedule said again with new ids and the same keys',
  'schedule answered as a duplicate',
  'cancel: cancelled',
  'cancel: alreadyRunning',
  'cancel: alreadyDone',
  'reschedule: rescheduled',
  'reschedule: alreadyRunning',
  'run now: rescheduled',
  'replay: replayed',
  'replay: notDone',
  'replay as new: replayed',
  'group: hosts come together',
  'group: hosts part',
  'limit of a group: concurrency',
  'limit of a group: rate',
  'limit changed under load',
  'pause',
  'resume',
  // Load.
  'aftershock',
  'killed overload',
  'schedule refused for load',
  'control answered under load',
  'event overload.changed',
  'event requests.shed',
  // Ends.
  'ended delivered',
  'ended dead',
  'ended cancelled',
  'ended expired',
  'ended quarantined',
  'event attempt.in-doubt',
]
