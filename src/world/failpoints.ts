/**
 * Named points at which a test may hurt the real process, armed by the environment: `HOOKPULSE_FAILPOINTS=name:action:nth`, several by comma.
 * Actions: `exit9` (SIGKILL to itself), `throw`, `reject` (a promise that nobody minds), `hang` (the thread for ever), `delay:ms`
 * (the thread), `exhaust` (arrays that no thread's heap holds: Node aborts the process, 134). `nth` (default 1): at which passage it
 * fires, once. Example: `HOOKPULSE_FAILPOINTS=store.commit:exit9:3,dispatch.send:delay:50:1`.
 */
export type Failpoint = (name: string) => void

interface Armed {
  readonly action: string
  readonly ms: number
  nth: number
}

const ACTIONS = ['exit9', 'throw', 'reject', 'hang', 'delay', 'exhaust']

const parseOne = (text: string): [string, Armed] => {
  const [name = '', action = '', ...rest] = text.split(':')
  const ms = action === 'delay' ? Number(rest.shift()) : 0
  const nth = Number(rest[0] ?? 1)
  const wrong = name === '' || !ACTIONS.includes(action) || !(ms >= 0) || !(nth >= 1) || rest.length > 1
  if (wrong) throw new Error(`HOOKPULSE_FAILPOINTS: "${text}" is not name:(${ACTIONS.join('|')}[:ms])[:nth]`)
  return [name, { action, ms, nth }]
}

const blockThread = (ms: number): void => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

/** 160 MiB at a time: what goes beyond the limit by little only ends the thread (WORK-03), a leap ends the process. */
const exhaust = (): void => {
  const kept: number[][] = []
  for (;;) kept.push(new Array<number>(21_000_000).fill(0.5))
}

const fire = (name: string, armed: Armed): void => {
  if (armed.action === 'exit9') process.kill(process.pid, 'SIGKILL')
  if (armed.action === 'throw') throw new Error(`failpoint ${name}`)
  if (armed.action === 'reject') return void Promise.reject(new Error(`failpoint ${name}`))
  if (armed.action === 'exhaust') return exhaust()
  blockThread(armed.action === 'delay' ? armed.ms : Number.POSITIVE_INFINITY)
}

const nothing: Failpoint = () => {}

/** Without a text (production) the answer does nothing. Throws on a text that cannot be read. */
export const failpointsFrom = (text: string | undefined): Failpoint => {
  if (text === undefined || text === '') return nothing
  const armed = new Map(text.split(',').map(parseOne))
  return (name) => {
    const point = armed.get(name)
    if (point === undefined) return
    point.nth -= 1
    if (point.nth === 0) fire(name, point)
  }
}
