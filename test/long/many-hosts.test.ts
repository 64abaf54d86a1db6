import { readdirSync } from 'node:fs'
import { expect, it, onTestFinished } from 'vitest'
import { DNS_NAMES_MAX, IDLE_CONNECTION_MS_MAX, ORIGINS_MAX } from '#config/limits.ts'
import { callEachHostOnce } from '#test/support/many-hosts.ts'
import { RawReceiver } from '#test/support/raw-receiver.ts'

const descriptors = (): number => readdirSync('/proc/self/fd').length

it('RECV-17: of 10,000 hosts that offer their connections for an hour, 1,000 origins and 5,000 names are kept; descriptors are back within a minute', async () => {
  const receiver = await RawReceiver.start((connection) =>
    connection.write('HTTP/1.1 200 OK\r\nkeep-alive: timeout=3600\r\ncontent-length: 0\r\n\r\n'),
  )
  const before = descriptors()
  const { http } = await callEachHostOnce(10_000, receiver.port)
  onTestFinished(async () => void (await Promise.all([http.close(), receiver.stop()])))
  const endedMono = performance.now()
  expect(http.sizes).toEqual({ attempts: 0, origins: ORIGINS_MAX, names: DNS_NAMES_MAX })
  expect([ORIGINS_MAX, DNS_NAMES_MAX].every((bound) => bound <= 5_000)).toBe(true)
  expect(descriptors(), 'both ends of what is kept').toBeLessThanOrEqual(before + 2 * ORIGINS_MAX)
  await receiver.until(() => receiver.open === 0)
  expect(performance.now() - endedMono).toBeLessThan(60_000)
  expect(IDLE_CONNECTION_MS_MAX).toBeLessThan(60_000)
  expect(descriptors()).toBeLessThanOrEqual(before)
})
