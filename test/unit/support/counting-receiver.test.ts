import { describe, expect, it, onTestFinished } from 'vitest'
import { startCountingReceiver } from '#test/support/counting-receiver.ts'

const start: typeof startCountingReceiver = async (options) => {
  const receiver = await startCountingReceiver(options)
  onTestFinished(() => receiver.stop())
  return receiver
}
const send = (url: string, id: string) => fetch(url, { method: 'POST', body: '{}', headers: { 'webhook-id': id } })

describe('the counting receiver', () => {
  it('remembers arrivals and how many were open at once, by brand in the path', async () => {
    const receiver = await start({ hold: true })
    const sent = ['a', 'b', 'c'].map((id) => send(`${receiver.url}/brand-1/x`, id))
    await receiver.until({ open: 3 })
    const held = send(`${receiver.url}/brand-2/x`, 'd')
    await receiver.until({ arrivals: 4 })
    expect(await receiver.release(10)).toBe(4)
    await Promise.all([...sent, held])
    expect(await receiver.figures()).toMatchObject({
      arrivals: 4,
      distinct: 4,
      openMax: 4,
      openMaxBy: { 'port 0': 4, 'path brand-1': 3, 'path brand-2': 1 },
    })
    const { ids, at } = await receiver.arrivals()
    expect(ids.toSorted()).toEqual(['a', 'b', 'c', 'd'])
    expect(Math.abs((at.at(-1) ?? 0) - Date.now())).toBeLessThan(5_000)
  })
  it('answers as told', async () => {
    const receiver = await start({ status: 503, headers: { 'retry-after': '7' }, ports: 2 })
    const answer = await send(receiver.urls[1] ?? '', 'a')
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '7'])
  })
  it('dies above what it can bear', async () => {
    const receiver = await start({ hold: true, diesAbove: 2 })
    await Promise.allSettled(['a', 'b', 'c'].map((id) => send(receiver.url, id)))
    expect((await receiver.figures()).died).toBe(true)
    await expect(send(receiver.url, 'd')).rejects.toThrow()
  })
  it('says what it has when it waits in vain', async () => {
    const receiver = await start()
    await expect(receiver.until({ distinct: 1 }, 50)).rejects.toThrow('"arrivals":0')
  })
  it('sees a connection that is cut', async () => {
    const receiver = await start({ hold: true })
    const cut = new AbortController()
    const sent = fetch(receiver.url, { signal: cut.signal })
    await receiver.until({ open: 1 })
    cut.abort()
    await expect(sent).rejects.toThrow()
    await expect.poll(() => receiver.figures()).toMatchObject({ open: 0, aborted: 1 })
  })
})
