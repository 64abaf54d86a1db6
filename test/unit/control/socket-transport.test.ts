import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { describe, expect, it, onTestFinished } from 'vitest'
import { WebSocketServer } from 'ws'
import { SocketTransport } from '#control/socket-transport.ts'
import { CONTINUATION, PONG, RawClient, TEXT } from '#test/support/raw-client.ts'
import { VirtualWorld } from '#world/virtual-world.ts'

/** A real socket on both ends; only the clock is in the test's hand. */
const pair = async (): Promise<{ world: VirtualWorld; transport: SocketTransport; client: RawClient }> => {
  const world = new VirtualWorld({ seed: 1 })
  const server = createServer()
  const sockets = new WebSocketServer({ noServer: true })
  const opened = new Promise<SocketTransport>((resolve) => {
    server.on('upgrade', (request, socket, head) =>
      sockets.handleUpgrade(request, socket, head, (ws) => resolve(new SocketTransport(ws, socket, 'test', world))),
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const client = new RawClient(connect(port, '127.0.0.1'))
  onTestFinished(() => {
    client.socket.destroy()
    server.close()
  })
  await client.upgrade()
  return { world, transport: await opened, client }
}

describe('a socket', () => {
  it('must complete a message within 10 s, however it drips (CTRL-04)', async () => {
    const { world, client } = await pair()
    client.send({ opcode: TEXT, fin: false, payload: Buffer.from('{') })
    let closed = false
    void client.closed.then(() => {
      closed = true
    })
    for (let i = 0; i < 40 && !closed; i++) {
      await world.advance(1_000)
      client.send({ opcode: CONTINUATION, fin: false, payload: Buffer.from(' ') })
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(await client.closed).toBe(1008)
  })

  it('may be silent for as long as it likes between messages, but for its pongs', async () => {
    const { world, transport, client } = await pair()
    const heard: string[] = []
    const frames = (): void => {
      for (let frame = transport.take(); frame !== undefined; frame = transport.take())
        heard.push(Buffer.from(frame).toString())
    }
    transport.attach({ frames, closed: () => heard.push('closed') })
    client.text('a')
    await expect.poll(() => heard).toEqual(['a'])
    for (let i = 0; i < 5; i++) {
      await world.advance(30_000)
      expect(transport.ping()).toBe(true)
      client.send({ opcode: PONG })
    }
    client.text('b')
    await expect.poll(() => heard).toEqual(['a', 'b'])
  })

  it('is given up when two pings were not answered', async () => {
    const { transport } = await pair()
    expect([transport.ping(), transport.ping(), transport.ping()]).toEqual([true, true, false])
  })

  it('hears nothing more once it was told goodbye', async () => {
    const { transport, client } = await pair()
    const heard: string[] = []
    transport.attach({ frames: () => heard.push('frames'), closed: () => heard.push('closed') })
    transport.close(1008, 'enough')
    client.text('more')
    expect(await client.closed).toBe(1008)
    await expect.poll(() => heard).toEqual(['closed'])
    expect(transport.take()).toBeUndefined()
  })
})
