/** The eyes of the simulator: every planted bug fits the source, and some of them are found here, as all are by `npm run sim -- --planted`. */
import { describe, expect, it } from 'vitest'
import { fits, huntOne } from './planted.ts'
import { PLANTED } from './planted-bugs.ts'

/** Found within a few seeds, and of different kinds. */
const QUICK = [
  'one more than the domain concurrency',
  'a cancel is not synced before it is answered',
  'any response is a delivery',
  'attempts of a dead process are nobody',
]

describe('the planted bugs', () => {
  it('are all of this source', () => {
    expect(PLANTED.filter((bug) => !fits(bug)).map(({ name }) => name)).toEqual([])
    expect(PLANTED.length).toBeGreaterThanOrEqual(30)
  })
  it.each(PLANTED.filter(({ name }) => QUICK.includes(name)))(
    '$name: is found',
    async (bug) => {
      expect((await huntOne(bug, 60)).found).not.toBeNull()
    },
    120_000,
  )
})
