import { describe, expect, it } from 'vitest'
import { plotSvg } from '#bench/plot.ts'
import { report } from '#bench/report.ts'
import { runScenario } from '#bench/run.ts'
import { SCENARIOS } from '#bench/scenarios.ts'
import { soak } from '#bench/soak.ts'

const IN_TESTS = ['deliver', 'enqueue', 'precision']

describe('the benches, at a tiny size', () => {
  it.each(SCENARIOS.filter(({ name }) => IN_TESTS.includes(name)))(
    '$name: its books balance, whatever its speed',
    async (scenario) => {
      const result = await runScenario(scenario, { size: 'tiny', seed: 1, profile: false, note: () => undefined })
      expect(result.checks.filter(({ ok }) => !ok)).toEqual([])
      expect(result.checks.length).toBeGreaterThan(0)
      const measured = result.figures.filter(({ aim }) => aim !== undefined)
      for (const { name, value } of measured) expect(value, name).toEqual(expect.any(Number))
      expect(report(result)).toContain(scenario.name)
      for (const plot of result.plots) expect(plotSvg(plot)).toContain('</svg>')
    },
  )

  it('LOAD-07: soak: under every kind of bad receiver the books balance, and no descriptor is left behind', async () => {
    const result = await runScenario(soak, { size: 'tiny', seed: 1, profile: false, note: () => undefined })
    expect(result.checks.filter(({ ok }) => !ok)).toEqual([])
    expect(report(result)).toContain('descriptors, most')
  })
})
