/** What a program pays to import aftertask and to create a runtime, each time in a fresh process. */
import type { Cold } from './cold.ts'
import { inChild } from './kit/child.ts'
import { type Findings, figure } from './kit/findings.ts'
import { spread } from './kit/statistics.ts'
import type { Started } from './start-up.ts'

const ROUNDS = 21

/** Measures the row. */
export default async function start(): Promise<Findings> {
  const runs: Started[] = []
  await inChild<Started>('start-up.ts')
  for (let round = 0; round < ROUNDS; round++) runs.push(await inChild<Started>('start-up.ts'))
  const cold = await inTurn()
  const of = (key: keyof Started): ReturnType<typeof spread> => spread(runs.map((run) => run[key]))
  return {
    figures: [
      figure('aftertask', 'import, zod loaded', 'ms', of('imported'), { atMost: 25 }),
      figure('aftertask', 'createRuntime', 'ms', of('created'), { atMost: 10 }),
      figure('aftertask', 'until the threads are up', 'ms', of('ready')),
      figure('aftertask', 'until its first job has ended, of Piscina’s', 'x', spread(ratiosOf(cold)), {
        atMost: 1,
        aim: 0.8,
      }),
      figure('aftertask', 'until its first job has ended', 'ms', spread(cold.map(([ours]) => ours))),
      figure('Piscina', 'until its first job has ended', 'ms', spread(cold.map(([, theirs]) => theirs))),
      figure('zod', 'import', 'ms', of('zod')),
    ],
    charts: [],
    notes: [
      'createRuntime returns before its threads are up; "until the threads are up" is from its call to the end of ready().',
      'Until the first job has ended: from the creation of a runtime, or of a Piscina, with one thread; in turn, in fresh processes.',
      'For comparison: what importing zod itself takes.',
    ],
  }
}

/** A cold start of either side in turn. */
async function inTurn(): Promise<(readonly [ours: number, theirs: number])[]> {
  const pairs: (readonly [number, number])[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const { first: ours } = await inChild<Cold>('cold.ts')
    const { first: theirs } = await inChild<Cold>('cold.ts', ['piscina'])
    pairs.push([ours, theirs])
  }
  return pairs
}

function ratiosOf(pairs: readonly (readonly [number, number])[]): number[] {
  return pairs.map(([ours, theirs]) => ours / theirs)
}
