import { expect, it } from 'vitest'
import { openDispatchPool } from '#dispatch/pool.ts'
import { RealWorld } from '#world/real-world.ts'
import { LOCAL_SETTINGS, orderFor, Reports } from '#test/support/dispatching.ts'
import { Receiver } from '#test/support/receiver.ts'

it('delivers', async () => {
  const receiver = await Receiver.start()
  const pool = openDispatchPool({ world: new RealWorld(), settings: LOCAL_SETTINGS, threads: 1, failed: (e) => expect.fail(String(e)) })
  const reports = new Reports()
  const carrier = await pool.startCarrier({ reported: reports.add, ended: (r) => console.log('ended', r) })
  const order = orderFor(`${receiver.url}/hook?a=1`)
  carrier.dispatch([order])
  console.log(await reports.of(order), receiver.arrivals)
  await pool.close()
  await receiver.stop()
})
