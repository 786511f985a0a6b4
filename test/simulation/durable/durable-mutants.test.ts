import { describe, expect, test } from 'vitest'
import { onDisk, search } from '../simulate.ts'
import { durableMutants } from './durable-mutants.ts'

describe('the simulation of crashes finds', () => {
  test.each(Object.entries(durableMutants))('that %s', { timeout: 600_000 }, async (_name, fault) => {
    const finding = await search({ seed: 1, runs: 2000, simulation: onDisk(fault.subject), shrinks: false })
    expect(finding?.violation).toMatch(fault.says)
  })
})
