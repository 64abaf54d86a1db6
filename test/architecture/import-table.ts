/**
 * Who may import whom. A room may always import itself and `config/limits.ts`. An entry is a room (all of it) or one file of it.
 * `types` entries may be imported for their types only; types vanish, so such an import is not counted against purity.
 */
export const ROOMS: Readonly<Record<string, readonly string[]>> = {
  world: [],
  runtime: ['world'],
  webhook: [],
  schedule: ['webhook'],
  guard: ['webhook'],
  config: [],
  overload: [],
  telemetry: ['webhook', 'schedule', 'guard', 'world', 'overload'],
  store: ['webhook', 'world'],
  dispatch: ['webhook', 'world'],
  // The ingest thread turns frames into packed rows and keys are kept as the store's contract says: contract and row codec only.
  control: ['webhook', 'schedule', 'guard', 'telemetry', 'world', 'store/store.ts', 'store/rows.ts', 'overload'],
  client: ['control/protocol.ts', 'world'],
  cli: ['client', 'control/protocol.ts', 'world'],
  dashboard: ['client', 'control/protocol.ts', 'world'],
  cluster: ['runtime', 'world', 'store/store.ts', 'telemetry'],
  release: ['runtime', 'world', 'store/store.ts', 'telemetry'],
  actors: [
    'runtime',
    'world',
    'webhook',
    'schedule',
    'guard',
    'overload',
    'store/store.ts',
    // How rows are packed is part of the store's contract.
    'store/rows.ts',
    'dispatch/dispatch.ts',
    'control/protocol.ts',
    'telemetry',
  ],
  // They hand the event hub on to their children, and own the tables that outlive them.
  supervisors: [
    'runtime',
    'actors',
    'store/store.ts',
    'dispatch/dispatch.ts',
    'control/protocol.ts',
    'telemetry/events.ts',
    'guard/tables.ts',
  ],
}

/**
 * Single files that may import more. The actors of the control channel: the control room's rules (methods, JSON-RPC, refusals), with the life of an actor around
 * them; what listens and what parses is handed to them by main.
 */
export const FILES: Readonly<Record<string, readonly string[]>> = {
  'actors/session.ts': ['control'],
  'actors/session/state.ts': ['control'],
  'actors/session/scheduling.ts': ['control'],
  'actors/session/events.ts': ['control'],
  'actors/session/door.ts': ['control'],
  'actors/control.ts': ['control'],
  'actors/ingest.ts': ['control'],
  'actors/backend.ts': ['control'],
}

/** Rooms that look at the daemon from outside, or put it together: they may import everything (but nobody imports main). */
export const UNBOUND = ['main', 'test', 'bench', 'bin']

/** Packages that live in one place only: package -> folders. */
export const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  ws: ['src/control/', 'src/client/'],
  'better-sqlite3': ['src/store/sqlite/'],
  pg: ['src/store/postgres/'],
  undici: ['src/dispatch/'],
  piscina: ['src/dispatch/'],
  pino: ['src/telemetry/'],
  'prom-client': ['src/telemetry/'],
  commander: ['src/cli/'],
  picocolors: ['src/cli/'],
  'cli-table3': ['src/cli/'],
}

/** Arithmetic only: no clock, no `async`, no I/O. */
export const PURE = ['webhook', 'schedule', 'guard', 'overload']
export const IO_MODULES =
  /^(node:)?(fs|fs\/promises|http|https|http2|dns|dns\/promises|tls|child_process|worker_threads|dgram|cluster|os|readline|stream|events|process)$/

/** Threads, and the rooms that their whole import tree stays in. */
export const THREADS: Readonly<Record<string, readonly string[]>> = {
  'src/dispatch/worker.ts': ['dispatch', 'webhook', 'world', 'config'],
}
