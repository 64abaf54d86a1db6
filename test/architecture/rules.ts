/** The rules of the house, as functions from sources to violations. The table is `import-table.ts`. */
import { posix } from 'node:path'
import { FILES, IO_MODULES, PACKAGES, PURE, ROOMS, THREADS, UNBOUND } from './import-table.ts'
import type { Import, Source } from './source.ts'

export interface Violation {
  readonly rule: string
  readonly at: string
  readonly what: string
}
type Rule = (sources: readonly Source[]) => Violation[]

/** The room of a project path: `src/guard/rate.ts` -> guard, `src/main.ts` -> main, `actors/x.ts` -> actors. */
export const roomOf = (path: string): string => {
  const parts = path.split('/')
  if (parts[0] !== 'src') return parts.length > 1 ? (parts[0] ?? '') : 'main'
  return parts.length === 2 ? 'main' : (parts[1] ?? '')
}

const OUTER = /^#(actors|supervisors|test|bench)\//
/** The project path that a specifier names, or null for packages and Node's own modules. */
export const targetOf = (from: string, specifier: string): string | null => {
  if (specifier.startsWith('.')) return posix.join(posix.dirname(from), specifier)
  // A key without a folder (`#package`) names one thing of package.json.
  if (!specifier.startsWith('#') || !/[/.]/.test(specifier)) return null
  return OUTER.test(specifier) ? specifier.slice(1) : `src/${specifier.slice(1)}`
}
const packageOf = (specifier: string): string | null => {
  if (/^[.#]|^node:/.test(specifier)) return null
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
}

const perImport =
  (rule: string, judge: (source: Source, found: Import) => string | null): Rule =>
  (sources) =>
    sources.flatMap((source) =>
      source.imports.flatMap((found) => {
        const what = judge(source, found)
        return what === null ? [] : [{ rule, at: `${source.path}:${found.line}`, what }]
      }),
    )
const perFinding =
  (rule: string, list: (source: Source) => readonly { readonly line: number; readonly what: string }[]): Rule =>
  (sources) =>
    sources.flatMap((source) => list(source).map(({ line, what }) => ({ rule, at: `${source.path}:${line}`, what })))

const mayImport = (path: string, target: string): boolean => {
  const room = roomOf(path)
  if (UNBOUND.includes(room)) return true
  if (target === 'src/config/limits.ts' || roomOf(target) === room) return true
  const entry = target.replace(/^src\//, '')
  return [...(ROOMS[room] ?? []), ...(FILES[path] ?? [])].some(
    (allowed) => allowed === roomOf(target) || allowed === entry,
  )
}

const importTable = perImport('import-table', (source, { specifier }) => {
  const target = targetOf(source.path, specifier)
  if (target === null) return null
  const room = roomOf(source.path)
  if (roomOf(target) === 'main' && !['main', 'test', 'bench'].includes(room)) return `nobody imports ${target}`
  return mayImport(source.path, target) ? null : `${room} may not import ${specifier}`
})

const knownRoom: Rule = (sources) =>
  sources
    .filter(({ path }) => !(roomOf(path) in ROOMS) && !UNBOUND.includes(roomOf(path)))
    .map(({ path }) => ({ rule: 'known-room', at: path, what: `${roomOf(path)} is not in the table` }))

const noParent = perImport('no-parent-import', (_source, { specifier }) =>
  specifier.includes('../') ? specifier : null,
)

/** `./file.ts` inside a folder, `#room/file.ts` elsewhere, both with the extension. */
const importStyle = perImport('import-style', (source, { specifier, resolved }) => {
  const target = targetOf(source.path, specifier)
  if (target === null || specifier.includes('../')) return null
  if (!/\.(ts|js|json)$/.test(specifier)) return `${specifier} lacks the extension`
  if (resolved) return null
  const inside = posix.dirname(target) === posix.dirname(source.path)
  return specifier.startsWith('#') && inside && /^src\/.+\//.test(source.path)
    ? `write ./${posix.basename(target)}`
    : null
})

const packages = perImport('package-home', (source, { specifier }) => {
  const homes = PACKAGES[packageOf(specifier) ?? '']
  if (homes === undefined || ['test', 'bench'].includes(roomOf(source.path))) return null
  return homes.some((home) => source.path.startsWith(home)) ? null : `${specifier} lives only in ${homes.join(', ')}`
})

const isProduct = (source: Source): boolean => !['test', 'bench', 'bin'].includes(roomOf(source.path))

const onlyWorldTouches = perFinding('only-world', (source) =>
  isProduct(source) && roomOf(source.path) !== 'world' ? source.touches : [],
)
const pureAsync = perFinding('pure-rooms', (source) => (PURE.includes(roomOf(source.path)) ? source.asyncs : []))
const pureIo = perImport('pure-rooms', (source, { specifier }) =>
  PURE.includes(roomOf(source.path)) && IO_MODULES.test(specifier) ? `I/O: ${specifier}` : null,
)
const noBarrels = perFinding('no-barrels', (source) => {
  if (source.barrel) return [{ line: 1, what: 'only hands on what others export' }]
  const name = posix.basename(source.path, '.ts')
  return /^(index|utils?|helpers?|common|types|misc)$/.test(name) ? [{ line: 1, what: `named ${name}` }] : []
})
const noEvasion = perFinding('no-evasion', (source) => source.evasions)
const NOTES = /@ts-(ignore|expect-error|nocheck)|biome-ignore|\b(TODO|FIXME|XXX)\b/
const noNotes = perFinding('no-notes', (source) =>
  source.comments.filter(({ text }) => NOTES.test(text)).map(({ line, text }) => ({ line, what: text.trim() })),
)

type Graph = ReadonlyMap<string, readonly string[]>
const graphOf = (sources: readonly Source[], counts: (from: string, to: string, found: Import) => boolean): Graph => {
  const known = new Set(sources.map(({ path }) => path))
  return new Map(
    sources.map(({ path, imports }) => [
      path,
      imports.flatMap((found) => {
        const target = targetOf(path, found.specifier)
        return target !== null && known.has(target) && counts(path, target, found) ? [target] : []
      }),
    ]),
  )
}

/** Everything that a file's import tree holds, itself included. */
const reach = (graph: Graph, from: string): Set<string> => {
  const seen = new Set<string>()
  const open = [from]
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    if (seen.has(path)) continue
    seen.add(path)
    open.push(...(graph.get(path) ?? []))
  }
  return seen
}

/**
 * Files that import one another in a circle, told once per circle. Inside one room two contracts may name each other's
 * types (a context speaks of behaviours, a behaviour of its context): that vanishes; between rooms types count. Actors talk
 * in both directions by each other's names, so their files may import one another; `actors.test.ts` shows that any of them can
 * be loaded first.
 */
const noCycles: Rule = (sources) => {
  const graph = graphOf(sources, (from, to, { typeOnly }) =>
    roomOf(from) === roomOf(to) ? !typeOnly && roomOf(from) !== 'actors' : true,
  )
  const told = new Set<string>()
  return [...graph.keys()].sort().flatMap((path) => {
    if (told.has(path)) return []
    const circle = [...reach(graph, path)].filter((other) => other !== path && reach(graph, other).has(path))
    if (circle.length === 0 && !(graph.get(path) ?? []).includes(path)) return []
    for (const member of [path, ...circle]) told.add(member)
    return [{ rule: 'no-cycles', at: path, what: [path, ...circle].join(' <-> ') }]
  })
}

const threads: Rule = (sources) => {
  const graph = graphOf(sources, (_from, _to, { typeOnly }) => !typeOnly)
  return Object.entries(THREADS).flatMap(([entry, rooms]) =>
    [...reach(graph, entry)]
      .filter((path) => !rooms.includes(roomOf(path)))
      .map((path) => ({ rule: 'thread-imports', at: entry, what: `reaches ${path}` })),
  )
}

const RULES: readonly Rule[] = [
  importTable,
  knownRoom,
  noParent,
  importStyle,
  packages,
  onlyWorldTouches,
  pureAsync,
  pureIo,
  noBarrels,
  noEvasion,
  noNotes,
  noCycles,
  threads,
]
export const violations = (sources: readonly Source[]): Violation[] => RULES.flatMap((rule) => rule(sources))

/** Not a rule: what asks to be two (files past 400 lines, functions past 60). */
export const large = (sources: readonly Source[]): string[] =>
  sources.flatMap((source) => [
    ...(source.lines > 400 ? [`${source.path}: ${source.lines} lines`] : []),
    ...source.functions
      .filter(({ lines }) => lines > 60)
      .map(({ line, lines }) => `${source.path}:${line}: a function of ${lines} lines`),
  ])
