import { describe, expect, test } from 'vitest'
import { inCluster, search, simulateCluster } from '../simulate.ts'
import { type ClusterMutant, clusterMutants } from './cluster-mutants.ts'
import type { ClusterSubject } from './sim-process.ts'

const steps = { least: 1, most: 40 }
const SEEDS = 100

/** What the simulation says of a fault. */
async function found(
  { subject, plan }: ClusterMutant,
  seen: ClusterSubject = subject,
): Promise<string | undefined> {
  if (plan === undefined) {
    const finding = await search({ seed: 1, runs: 500, steps, simulation: inCluster(seen), shrinks: false })
    return finding?.violation
  }
  for (let seed = 0; seed < SEEDS; seed++) {
    const violation = await simulateCluster({ ...plan, world: { ...plan.world, seed } }, seen)
    if (violation !== undefined) return violation
  }
  return undefined
}

const all = Object.entries(clusterMutants)
const led = all.filter(([, { plan }]) => plan !== undefined)

describe('the simulation of several processes finds', () => {
  test.each(all)('that %s', async (_name, fault) => {
    expect(await found(fault)).toMatch(fault.says)
  })

  test.each(led)('nothing where it would find that %s', async (_name, fault) => {
    expect(await found(fault, {})).toBeUndefined()
  })
})
