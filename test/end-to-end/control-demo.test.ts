import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, onTestFinished } from 'vitest'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

const runDemo = (...args: string[]) => {
  const temporary = mkdtempSync(join(tmpdir(), 'hookpulse-test-'))
  onTestFinished(() => rmSync(temporary, { recursive: true }))
  const child = spawn(process.execPath, [MAIN, 'demo', ...args], {
    // Compiled code is kept there on purpose; here it would hide what is left behind.
    env: { ...process.env, TMPDIR: temporary, NODE_DISABLE_COMPILE_CACHE: '1' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  onTestFinished(() => {
    child.kill('SIGKILL')
  })
  let out = ''
  const heard = new Set<() => void>()
  child.stdout.on('data', (chunk: Buffer) => {
    out += chunk.toString()
    for (const listener of heard) listener()
  })
  const ended = new Promise<{ code: number | null; out: string; left: string[] }>((resolve) =>
    child.once('close', (code) => resolve({ code, out, left: readdirSync(temporary) })),
  )
  const said = (text: string) =>
    new Promise<void>((resolve) => {
      const look = (): void => (out.includes(text) ? resolve() : undefined)
      heard.add(look)
      look()
    })
  return { child, ended, said }
}

describe('hookpulse demo', () => {
  it('shows a receiver that falls over, then the same one behind the guard, and leaves nothing', async () => {
    const { code, out, left } = await runDemo('--webhooks', '200', '--capacity', '5', '--json').ended
    expect([code, left]).toEqual([0, []])
    const { rounds } = JSON.parse(out)
    expect(rounds).toMatchObject([
      { guarded: false, dead: expect.any(Number), falls: expect.any(Number) },
      { guarded: true, delivered: 200, dead: 0, requests: 200, openMost: 5, falls: 0 },
    ])
    expect(rounds[0].falls).toBeGreaterThan(0)
    expect(rounds[0].delivered).toBeLessThan(200)
  }, 40_000)

  it('ends in order when it is told to', async () => {
    const { child, ended, said } = runDemo()
    await said('without the guard')
    child.kill('SIGINT')
    const { code, left } = await ended
    expect([code, left]).toEqual([0, []])
  }, 40_000)
})
