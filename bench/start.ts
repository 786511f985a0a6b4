/** What a program pays to import aftertask and to create a runtime, each time in a fresh process. */
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
  const of = (key: keyof Started): ReturnType<typeof spread> => spread(runs.map((run) => run[key]))
  return {
    figures: [
      figure('aftertask', 'import, zod loaded', 'ms', of('imported'), { atMost: 25 }),
      figure('aftertask', 'createRuntime', 'ms', of('created'), { atMost: 10 }),
      figure('aftertask', 'until the threads are up', 'ms', of('ready')),
      figure('zod', 'import', 'ms', of('zod')),
    ],
    charts: [],
    notes: [
      'createRuntime returns before its threads are up; "until the threads are up" is from its call to the end of ready().',
      'For comparison: what importing zod itself takes.',
    ],
  }
}
