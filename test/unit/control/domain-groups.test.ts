/** `configureDomainGroup` over the control channel: what it takes, what it refuses, who sees what (D-13). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ControlClient, connectControl, RpcError } from '#test/support/control-client.ts'
import { ControlStage } from '#test/support/control-stage.ts'

const policy = { allowPrivate: true, allowTargets: [], denyTargets: [] }
const HOST = '10.8.8.1:8080'
const GROUP = 'group:payments'

describe('a domain group', () => {
  let stage: ControlStage
  let client: ControlClient
  beforeAll(async () => {
    stage = await ControlStage.start({ policy })
    client = await connectControl(stage.url, stage.adminKey)
  })
  afterAll(async () => {
    await client.close()
    await stage.stop()
  })
  const refusal = async (asked: Promise<unknown>): Promise<object | undefined> => {
    try {
      await asked
      return undefined
    } catch (error) {
      return error instanceof RpcError ? { ...error.data } : { error }
    }
  }

  it('is taken as people type it, shown by getLimits and getGuard, and its name is a domain', async () => {
    await client.call('configureDomainConcurrencyLimit', { domain: HOST, limit: 7 })
    const members = ['*.Example.ORG:443', HOST, 'api.example.com.', 'api.example.com:80']
    const set = await client.call('configureDomainGroup', { group: 'payments', members })
    expect(set).toEqual({
      group: 'payments',
      domain: GROUP,
      members: ['*.example.org', HOST, 'api.example.com'],
      version: 1,
      setBy: expect.stringMatching(/^admin /),
      setAt: expect.any(String),
      resting: [HOST],
    })
    expect(await client.call('configureRateLimit', { domain: GROUP, requestsPerSecond: 50 })).toMatchObject({
      domain: GROUP,
      rate: { value: 50 },
    })
    const { resting: _resting, ...shown } = set as { resting: unknown }
    expect(await client.call('getLimits', { domain: HOST })).toMatchObject({ groups: [shown] })
    expect(await client.call('getLimits')).toMatchObject({ groups: [shown] })
    for (const domain of [GROUP, 'a.b.example.org'])
      expect(await client.call('getGuard', { domain })).toMatchObject({
        domain: GROUP,
        members: ['*.example.org', HOST, 'api.example.com'],
        rate: { limit: 50 },
      })
    expect(await client.call('forecast', { domain: HOST })).toMatchObject({ domain: GROUP })
  })

  it('holds its webhooks together: pause, list, explain by its name', async () => {
    await client.call('pauseDomain', { domain: GROUP })
    const { id } = await client.schedule({ url: `http://${HOST}/hook` })
    await expect
      .poll(async () => (await client.call<{ blockedOn?: object }>('explainWebhook', { id })).blockedOn)
      .toEqual({ limit: 'domain-paused', key: GROUP })
    expect(await client.call('listWebhooks', { domain: GROUP })).toMatchObject({ webhooks: [{ id, domain: HOST }] })
    expect(await client.call('listWebhooks', { domain: HOST })).toMatchObject({ webhooks: [{ id }] })
    expect(await refusal(client.call('configureDomainGroup', { group: 'payments', members: null }))).toMatchObject({
      code: 'CONFLICT',
      field: 'members',
      message: expect.stringContaining('resumeDomain'),
    })
    await client.call('resumeDomain', { domain: GROUP })
    await expect.poll(async () => (await client.call<{ state: string }>('getWebhook', { id })).state).toBe('delivered')
  })

  it('refuses what would be two answers to one question, and names the cure', async () => {
    const limited = client.call('configureDomainConcurrencyLimit', { domain: HOST, limit: 3 })
    expect(await refusal(limited)).toMatchObject({
      code: 'CONFLICT',
      field: 'domain',
      message: expect.stringContaining(GROUP),
    })
    expect(await refusal(client.call('pauseDomain', { domain: HOST }))).toMatchObject({ code: 'CONFLICT' })
    const twice = client.call('configureDomainGroup', { group: 'other', members: [HOST] })
    expect(await refusal(twice)).toMatchObject({
      code: 'CONFLICT',
      field: 'members',
      message: expect.stringContaining(GROUP),
    })
    const wrong = (params: object) => refusal(client.call('configureDomainGroup', params))
    expect(await wrong({ group: 'Not A Name', members: [] })).toMatchObject({ code: 'INVALID_PARAMS', field: 'group' })
    expect(await wrong({ group: 'x', members: ['*.10.0.0.1'] })).toMatchObject({ field: 'members[0]' })
    expect(await wrong({ group: 'x', members: ['ok.com', '*'] })).toMatchObject({ field: 'members[1]' })
    expect(await wrong({ group: 'x', members: ['a.*.com'] })).toMatchObject({
      field: 'members[0]',
      message: 'members[0] "a.*.com": a wildcard is a whole beginning, like "*.acme.com"',
    })
    expect(await wrong({ group: 'x', members: ['group:payments'] })).toMatchObject({ field: 'members[0]' })
    expect(await wrong({ group: 'x' })).toMatchObject({ code: 'INVALID_PARAMS', field: 'members' })
    // An own limit that rests may be taken away.
    expect(await client.call('configureDomainConcurrencyLimit', { domain: HOST, limit: null })).toMatchObject({
      concurrency: null,
    })
  })

  it('is for admins; a brand sees of it what concerns its webhooks', async () => {
    const acme = await connectControl(stage.url, stage.brandKey('acme').key)
    expect(await refusal(acme.call('configureDomainGroup', { group: 'payments', members: [] }))).toMatchObject({
      code: 'FORBIDDEN',
    })
    expect(await acme.call('getLimits')).not.toHaveProperty('groups')
    expect(await acme.call('getLimits', { domain: HOST })).toMatchObject({
      groups: [{ domain: GROUP, members: [HOST] }],
    })
    expect(await refusal(acme.call('getGuard', { domain: GROUP }))).toMatchObject({ code: 'NOT_FOUND' })
    const { id } = await acme.schedule({ url: `http://${HOST}/acme`, delayMs: 600_000 })
    const guard = await acme.call('getGuard', { domain: HOST })
    expect(guard).toMatchObject({ domain: GROUP })
    expect(guard).not.toHaveProperty('members')
    await acme.call('cancelWebhook', { id })
    await acme.close()
  })

  it('is dissolved by no members, and its limits wait for it', async () => {
    expect(await client.call('configureDomainGroup', { group: GROUP, members: [] })).toMatchObject({
      members: [],
      version: 2,
    })
    expect(await client.call('getLimits')).not.toHaveProperty('groups')
    expect(await client.call('getGuard', { domain: HOST })).toMatchObject({ domain: HOST, rate: { limit: null } })
    expect(await client.call('getLimits', { domain: GROUP })).toMatchObject({
      limits: [{ domain: GROUP, rate: { value: 50 } }],
    })
  })
})
