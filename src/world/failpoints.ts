/**
 * Named points at which a test may hurt the real process, armed by the environment: `HOOKPULSE_FAILPOINTS=name:action:nth`, several by comma.
 * Actions: `exit9` (SIGKILL to itself), `throw`, `hang` (the thread for ever), `delay:ms` (the thread). `nth` (default 1): at which
 * passage it fires, once. Example: `HOOKPULSE_FAILPOINTS=store.commit:exit9:3,dispatch.send:delay:50:1`.
 */
export type Failpoint = (name: string) => void

interface Armed {
  readonly action: string
  readonly ms: number
  nth: number
}

const ACTIONS = ['exit9', 'throw', 'hang', 'delay']

const parseOne = (text: string): [string, Armed] => {
  const [name = '', action = '', ...rest] = text.split(':')
  const ms = action === 'delay' ? Number(rest.shift()) : 0
  const nth = Number(rest[0] ?? 1)
  const wrong = name === '' || !ACTIONS.includes(action) || !(ms >= 0) || !(nth >= 1) || rest.length > 1
  if (wrong) throw new Error(`HOOKPULSE_FAILPOINTS: "${text}" is not name:(exit9|throw|hang|delay:ms)[:nth]`)
  return [name, { action, ms, nth }]
}

const blockThread = (ms: number): void => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

const fire = (name: string, armed: Armed): void => {
  if (armed.action === 'exit9') process.kill(process.pid, 'SIGKILL')
  if (armed.action === 'throw') throw new Error(`failpoint ${name}`)
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
