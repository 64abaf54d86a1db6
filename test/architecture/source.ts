/** What the rules need to know about one source file, read from its syntax tree. */
import { type Comment, parseSync } from 'oxc-parser'

export interface Import {
  readonly specifier: string
  /** Names taken by an import statement; empty for `import()`, `import.meta.resolve` and `export * from`. */
  readonly names: readonly string[]
  /** `import.meta.resolve`: the emitted build maps only `#` keys, so it names even neighbours by them. */
  readonly resolved: boolean
  /** It vanishes when types are stripped. */
  readonly typeOnly: boolean
  readonly line: number
}
export interface Finding {
  readonly what: string
  readonly line: number
}
export interface Source {
  /** Relative to the project's root, with forward slashes. */
  readonly path: string
  readonly lines: number
  readonly imports: readonly Import[]
  /** Clock, timers, randomness: `Date.now`, `setTimeout`, ... */
  readonly touches: readonly Finding[]
  readonly asyncs: readonly Finding[]
  /** `as unknown as`, empty catch, `any`. */
  readonly evasions: readonly Finding[]
  readonly comments: readonly (Finding & { readonly text: string })[]
  readonly functions: readonly { readonly line: number; readonly lines: number }[]
  /** Of `describe`, `it` and `test`, with `.each` and its like, as they are written. */
  readonly titles: readonly string[]
  /** True if it does nothing but hand on what others export. */
  readonly barrel: boolean
}

interface Node {
  readonly type: string
  readonly start: number
  readonly end: number
  readonly [field: string]: unknown
}
const isNode = (value: unknown): value is Node =>
  typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string' && 'start' in value

const childrenOf = (node: Node): Node[] =>
  Object.values(node).flatMap((value) => (Array.isArray(value) ? value.filter(isNode) : isNode(value) ? [value] : []))

const walk = (node: Node, visit: (node: Node, parent: Node | null, field: string) => void): void => {
  const go = (at: Node, parent: Node | null, field: string): void => {
    visit(at, parent, field)
    for (const [key, value] of Object.entries(at)) {
      if (isNode(value)) go(value, at, key)
      else if (Array.isArray(value)) for (const item of value) if (isNode(item)) go(item, at, key)
    }
  }
  go(node, null, '')
}

const text = (value: unknown): string | null =>
  isNode(value) && value.type === 'Literal' && typeof value['value'] === 'string' ? value['value'] : null
const identifier = (value: unknown): string | null =>
  isNode(value) && value.type === 'Identifier' && typeof value['name'] === 'string' ? value['name'] : null

const importedNames = (node: Node): string[] =>
  childrenOf(node).flatMap((child) => {
    if (child.type === 'ImportSpecifier') return identifier(child['imported']) ?? []
    if (child.type === 'ImportDefaultSpecifier') return 'default'
    return child.type === 'ImportNamespaceSpecifier' ? '*' : []
  })

const isImportMetaResolve = (node: Node): boolean => {
  const callee = node['callee']
  return (
    isNode(callee) &&
    callee.type === 'MemberExpression' &&
    isNode(callee['object']) &&
    callee['object'].type === 'MetaProperty' &&
    identifier(callee['property']) === 'resolve'
  )
}

const isTypeOnly = (node: Node): boolean => {
  if (node.type === 'TSImportType' || node['importKind'] === 'type' || node['exportKind'] === 'type') return true
  const specifiers = childrenOf(node).filter(({ type }) => type.endsWith('Specifier'))
  return (
    specifiers.length > 0 &&
    specifiers.every((specifier) => specifier['importKind'] === 'type' || specifier['exportKind'] === 'type')
  )
}

const importOf = (node: Node): { specifier: string; names: string[] } | null => {
  const from = (value: unknown, names: string[]) => {
    const specifier = text(value)
    return specifier === null ? null : { specifier, names }
  }
  switch (node.type) {
    case 'ImportDeclaration':
      return from(node['source'], importedNames(node))
    case 'ExportNamedDeclaration':
    case 'ExportAllDeclaration':
    case 'ImportExpression':
    case 'TSImportType':
      return from(node['source'], [])
    case 'CallExpression': {
      const args = node['arguments']
      return isImportMetaResolve(node) && Array.isArray(args) ? from(args[0], []) : null
    }
    default:
      return null
  }
}

const AMBIENT = new Set([
  'performance',
  'setTimeout',
  'setInterval',
  'setImmediate',
  'clearTimeout',
  'clearInterval',
  'clearImmediate',
  'queueMicrotask',
  'crypto',
])
/** The pure corners of `Date` and `process`: they convert what they are given and ask no clock. */
const PURE_DATE = new Set(['parse', 'UTC'])

/** What of clock, timers and randomness this node touches, or null. */
const touchOf = (node: Node, parent: Node | null, field: string): string | null => {
  const name = identifier(node)
  if (name === null || parent === null) return null
  const isMember = parent.type === 'MemberExpression'
  if (isMember && field === 'property' && parent['computed'] !== true) return null
  if (parent.type === 'Property' && field === 'key') return null
  if (parent.type.startsWith('TS') || parent.type.endsWith('Specifier')) return null
  const member = isMember && field === 'object' ? identifier(parent['property']) : null
  if (name === 'Date') {
    if (member !== null && PURE_DATE.has(member)) return null
    if (parent.type === 'BinaryExpression' && parent['operator'] === 'instanceof') return null
    const args = parent.type === 'NewExpression' && field === 'callee' ? parent['arguments'] : null
    return Array.isArray(args) && args.length > 0 ? null : `Date${member === null ? '' : `.${member}`}`
  }
  if (name === 'Math' && member === 'random') return 'Math.random'
  if (name === 'process' && (member === 'hrtime' || member === 'nextTick')) return `process.${member}`
  if (name === 'crypto')
    return isMember && member !== null && /^random|^getRandom/.test(member) ? `crypto.${member}` : null
  return AMBIENT.has(name) && isReference(parent, field) ? name : null
}
const isReference = (parent: Node, field: string): boolean =>
  !['MethodDefinition', 'PropertyDefinition', 'LabeledStatement'].includes(parent.type) &&
  !(parent.type === 'VariableDeclarator' && field === 'id')

const importTouches = (found: { specifier: string; names: string[] }): string[] => {
  if (/^(node:)?timers(\/promises)?$/.test(found.specifier)) return [found.specifier]
  if (/^(node:)?perf_hooks$/.test(found.specifier)) return found.names.filter((name) => name === 'performance')
  if (/^(node:)?crypto$/.test(found.specifier)) return found.names.filter((name) => /^random|^webcrypto$/.test(name))
  return []
}

const isUnknownCast = (node: Node): boolean => {
  const inner = node['expression']
  return (
    node.type === 'TSAsExpression' &&
    isNode(inner) &&
    inner.type === 'TSAsExpression' &&
    isNode(inner['typeAnnotation']) &&
    inner['typeAnnotation'].type === 'TSUnknownKeyword'
  )
}
const evasionOf = (node: Node): string | null => {
  if (node.type === 'TSAnyKeyword') return 'any'
  if (isUnknownCast(node)) return 'as unknown as'
  const body = node['body']
  const empty = isNode(body) && Array.isArray(body['body']) && body['body'].length === 0
  return node.type === 'CatchClause' && empty ? 'empty catch' : null
}

const TITLED = new Set(['describe', 'it', 'test'])
/** `it`, of `it(...)`, `it.each([...])(...)`, `describe.for(...)(...)`. */
const rootOf = (value: unknown): string | null => {
  if (!isNode(value)) return null
  if (value.type === 'CallExpression') return rootOf(value['callee'])
  return value.type === 'MemberExpression' ? rootOf(value['object']) : identifier(value)
}
const titleOf = (node: Node): string | null => {
  const args: unknown = node['arguments']
  if (node.type !== 'CallExpression' || !Array.isArray(args) || !TITLED.has(rootOf(node['callee']) ?? '')) return null
  const [first]: unknown[] = args
  if (!isNode(first) || first.type !== 'TemplateLiteral') return text(first)
  return childrenOf(first)
    .filter(({ type }) => type === 'TemplateElement')
    .map((element) => rawOf(element['value']))
    .join('…')
}
const rawOf = (value: unknown): string =>
  typeof value === 'object' && value !== null && 'raw' in value ? String(value.raw) : ''

const FUNCTIONS = new Set(['FunctionDeclaration', 'FunctionExpression', 'ArrowFunctionExpression'])
const HANDS_ON = new Set(['ExportAllDeclaration', 'ExportNamedDeclaration'])

const lineCounter = (code: string): ((offset: number) => number) => {
  const starts = [0]
  for (let at = code.indexOf('\n'); at !== -1; at = code.indexOf('\n', at + 1)) starts.push(at + 1)
  return (offset) => starts.findLastIndex((start) => start <= offset) + 1
}

/** Throws if the file does not parse. */
export const readSource = (path: string, code: string): Source => {
  const { program, errors, comments } = parseSync(path, code)
  const [error] = errors
  if (error !== undefined) throw new Error(`${path}: ${error.message}`)
  const lineOf = lineCounter(code)
  const imports: Import[] = []
  const touches: Finding[] = []
  const asyncs: Finding[] = []
  const evasions: Finding[] = []
  const functions: { line: number; lines: number }[] = []
  const titles: string[] = []
  const root: unknown = program
  if (!isNode(root)) throw new Error(`${path}: no program`)
  walk(root, (node, parent, field) => {
    const line = lineOf(node.start)
    const found = importOf(node)
    if (found !== null) {
      imports.push({ ...found, resolved: node.type === 'CallExpression', typeOnly: isTypeOnly(node), line })
      touches.push(...importTouches(found).map((what) => ({ what, line })))
    }
    const touch = touchOf(node, parent, field)
    if (touch !== null) touches.push({ what: touch, line })
    const title = titleOf(node)
    if (title !== null) titles.push(title)
    const evasion = evasionOf(node)
    if (evasion !== null) evasions.push({ what: evasion, line })
    if (FUNCTIONS.has(node.type)) functions.push({ line, lines: lineOf(node.end) - line + 1 })
    if (node['async'] === true || node.type === 'AwaitExpression') asyncs.push({ what: 'async', line })
  })
  const statements = childrenOf(root)
  return {
    path,
    lines: code.split('\n').length,
    imports,
    touches,
    asyncs,
    evasions,
    comments: comments.map((comment: Comment) => ({
      what: 'comment',
      line: lineOf(comment.start),
      text: comment.value,
    })),
    functions,
    titles,
    barrel:
      statements.length > 0 && statements.every((node) => HANDS_ON.has(node.type) && text(node['source']) !== null),
  }
}
