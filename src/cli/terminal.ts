/** Where live views are drawn, and how a person ends them. */
import type { Write } from './session.ts'

export interface Terminal {
  readonly write: Write
  rows(): number
  columns(): number
}
export type OnQuit = (quit: () => void) => () => void

const ROWS_DEFAULT = 40
const COLUMNS_DEFAULT = 80
const QUIT_KEYS: ReadonlySet<string> = new Set(['q', 'Q', '\u0003'])
const QUIT_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Null: standard output is a file or a pipe. */
export const processTerminal = (): Terminal | null => {
  const { stdout } = process
  if (!stdout.isTTY) return null
  return {
    write: (text) => stdout.write(text),
    rows: () => stdout.rows || ROWS_DEFAULT,
    columns: () => stdout.columns || COLUMNS_DEFAULT,
  }
}

/** Calls `quit` at q, ctrl-c or a signal that asks for the end. Returns a function that stops listening. */
export const onProcessQuit: OnQuit = (quit) => {
  const { stdin } = process
  const key = (bytes: Buffer): void => {
    if (QUIT_KEYS.has(bytes.toString())) quit()
  }
  for (const signal of QUIT_SIGNALS) process.on(signal, quit)
  if (stdin.isTTY) stdin.setRawMode(true).on('data', key)
  return () => {
    for (const signal of QUIT_SIGNALS) process.off(signal, quit)
    if (stdin.isTTY) stdin.setRawMode(false).off('data', key).pause()
  }
}

/** A view that is drawn over itself, on the terminal's second page, so that what stood there before comes back. */
export class Screen {
  readonly #terminal: Terminal
  constructor(terminal: Terminal) {
    this.#terminal = terminal
    terminal.write('\u001b[?1049h\u001b[?25l')
  }
  /** What does not fit on the page is left out. */
  draw(lines: readonly string[]): void {
    const columns = this.#terminal.columns()
    const shown = lines.slice(0, this.#terminal.rows() - 1).map((line) => cut(line, columns))
    this.#terminal.write(`\u001b[H${shown.map((line) => `${line}\u001b[K\n`).join('')}\u001b[J`)
  }
  close(): void {
    this.#terminal.write('\u001b[?25h\u001b[?1049l')
  }
}

const ESCAPE = '\u001b'
const COLOUR = new RegExp(`(${ESCAPE}\\[[0-9;]*m)`)

/** A line that wraps would push the page up: what does not fit is left out. Colours take no room. */
export const cut = (line: string, columns: number): string => {
  let room = columns
  let shown = ''
  for (const part of line.split(COLOUR)) {
    if (part.startsWith(ESCAPE)) shown += part
    else {
      shown += part.slice(0, room)
      room -= Math.min(room, part.length)
    }
  }
  return shown
}
