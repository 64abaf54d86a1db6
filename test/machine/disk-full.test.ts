/** STOR-01: the disk is full, and then it is not. Needs root (a file system of its own). */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'

it('a full disk refuses promises, keeps marks, loses nothing, and needs no restart (STOR-01)', {
  timeout: 60_000,
}, () => {
  const dir = mkdtempSync(join(tmpdir(), 'hookpulse-full-'))
  const child = join(import.meta.dirname, 'disk-full-child.ts')
  const script = 'mount -t tmpfs -o size=8m none "$1" && exec "$2" "$3" "$1"'
  const args = ['-m', 'sh', '-c', script, 'sh', dir, process.execPath, child]
  const said: unknown = JSON.parse(execFileSync('unshare', args, { encoding: 'utf8', timeout: 50_000 }))
  rmSync(dir, { recursive: true, force: true })
  expect(said).toMatchObject({ marked: 200, after: null, check: { value: { problems: [] } } })
  expect(said).toMatchObject({ failures: ['full'] })
  // A mark that fits into a page that is there is written even then: told as what it is, and taken back by the next refusal.
  const { events } = said as { readonly events: readonly string[] }
  expect(events.length).toBeGreaterThanOrEqual(3)
  expect(events).toEqual(events.map((_, i) => (i % 2 === 0 ? 'store.opened' : 'store.failed')))
  expect(events.at(-1)).toBe('store.opened')
  const { acknowledged, stored, failed } = said as Readonly<Record<string, number>>
  expect(stored).toBe(acknowledged)
  expect(failed).toBeGreaterThan(0)
})
