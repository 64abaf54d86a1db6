import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { sessions } from '#actors/control.ts'
import { type Client, connect, RpcFailure } from '#client/node.ts'
import { ControlStage } from '#test/support/control-stage.ts'

const later = { url: 'http://10.1.2.3:8080/hook', delayMs: 3_600_000 }

describe('the client', () => {
  let stage: ControlStage
  let client: Client
  beforeAll(async () => {
    stage = await ControlStage.start()
    client = await connect({ url: stage.url, key: stage.adminKey })
  })
  afterAll(async () => {
    client.close()
    await stage.stop()
  })
  /** Every connection is cut; the daemon lives on. */
  const cut = (): boolean => stage.runtime.exit(sessions, 'kill')
  const failure = async (asked: Promise<unknown>): Promise<RpcFailure> => {
    const error = await asked.catch((caught: unknown) => caught)
    if (error instanceof RpcFailure) return error
    throw new Error('it did not fail')
  }

  it('has a method for each method, with typed results', async () => {
    const { id, duplicate } = await client.scheduleWebhook(later)
    expect(duplicate).toBe(false)
    expect((await client.getWebhook({ id })).url).toBe(later.url)
    const set = await client.configureRateLimit({ domain: 'acme.com', requestsPerSecond: 10 })
    expect(set.rate?.value).toBe(10)
    expect((await client.getSupervisionTree({})).tree.name).toBe('root')
    const { totals } = await client.getMonitor({})
    expect(totals.scheduled).toBeGreaterThan(0)
    expect(totals.quarantined).toBe(0)
  })

  it('fails with the code, the field and the cure of the daemon', async () => {
    expect(await failure(client.scheduleWebhook({ url: 'x' }))).toMatchObject({
      code: 'INVALID_PARAMS',
      field: 'url',
      message: expect.stringContaining('absolute URL'),
    })
  })

  it('tells a wrong key from a daemon that is not there', async () => {
    const wrong = await failure(connect({ url: stage.url, key: `${stage.adminKey}x`, tries: 1 }))
    expect(wrong.code).toBe('UNAUTHENTICATED')
    expect((await failure(connect({ url: 'http://127.0.0.1:1', key: 'x', tries: 2 }))).code).toBe('DISCONNECTED')
  })

  it('schedules once, however often the connection is lost meanwhile', async () => {
    const before = stage.disk.byId.size
    const asked = Array.from({ length: 200 }, () => client.scheduleWebhook(later))
    const batch = client.scheduleWebhooks({ webhooks: Array(300).fill(later) })
    cut()
    const ids = (await Promise.all(asked)).map(({ id }) => id)
    expect(new Set(ids).size).toBe(200)
    expect(new Set((await batch).ids).size).toBe(300)
    expect(stage.disk.byId.size).toBe(before + 500)
  })

  it('does not repeat what would not be the same twice', async () => {
    await client.getInfo({})
    const asked = client.killProcess({ name: sessions })
    expect((await failure(asked)).code).toBe('DISCONNECTED')
    expect((await client.getInfo({})).name).toBe('hookpulse')
  })

  it('takes its subscriptions up again where they were', async () => {
    const stream = await client.subscribe(['supervision'])
    const names: string[] = []
    const seqs: number[] = []
    const reading = (async () => {
      for await (const { seq, data } of stream) {
        seqs.push(seq)
        names.push(JSON.stringify(data))
        if (names.some((one) => one.includes('"executor"'))) break
      }
    })()
    await client.killProcess({ name: 'retry-manager' })
    await expect.poll(() => names.join()).toContain('retry-manager')
    cut()
    stage.runtime.exit('executor', 'kill')
    await reading
    expect(seqs).toEqual([...new Set(seqs)].toSorted((a, b) => a - b))
  })

  it('walks through every page of a list', async () => {
    await client.scheduleWebhooks({ webhooks: Array(25).fill(later), defaults: { tags: ['walk'] } })
    const ids = new Set<string>()
    for await (const { id } of client.webhooks({ tag: 'walk', limit: 10 })) ids.add(id)
    expect(ids.size).toBe(25)
  })

  it('refuses what is asked of it after its end', async () => {
    const short = await connect({ url: stage.url, key: stage.adminKey })
    const stream = await short.subscribe(['monitor'])
    short.close()
    expect((await failure(short.getInfo({}))).code).toBe('DISCONNECTED')
    const notices: unknown[] = []
    for await (const notice of stream) notices.push(notice)
    expect(notices.length).toBeLessThan(3)
  })
})
