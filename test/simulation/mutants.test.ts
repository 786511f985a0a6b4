import { describe, expect, test } from 'vitest'
import { mutants } from './mutants.ts'
import { inMemory, search } from './simulate.ts'

describe('the simulation finds', () => {
  test.each(Object.entries(mutants))('that %s', { timeout: 600_000 }, async (_name, { subject, says }) => {
    const finding = await search({ seed: 1, runs: 5000, simulation: inMemory(subject), shrinks: false })
    expect(finding?.violation).toMatch(says)
  })
})
