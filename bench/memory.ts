/** A million queued jobs: what each holds of memory, and whether adding gets dearer as they pile up. */
import { inChild } from './kit/child.ts'
import { type Findings, figure } from './kit/findings.ts'
import { spread } from './kit/statistics.ts'
import type { Piled } from './pile-up.ts'

const ROUNDS = 3

/** Measures the row. */
export default async function memory(): Promise<Findings> {
  const cold: Piled[] = []
  const warm: Piled[] = []
  const piscina: Piled[] = []
  for (let round = 0; round < ROUNDS; round++) {
    cold.push(await inChild<Piled>('pile-up.ts', ['aftertask']))
    warm.push(await inChild<Piled>('pile-up.ts', ['aftertask', 'warm']))
    piscina.push(await inChild<Piled>('pile-up.ts', ['piscina']))
  }
  const bytes = (runs: readonly Piled[]): ReturnType<typeof spread> =>
    spread(runs.map((run) => run.bytesAJob))
  const growth = (runs: readonly Piled[]): ReturnType<typeof spread> =>
    spread(runs.map(({ microseconds }) => (microseconds.at(-1) ?? 0) / (microseconds[0] ?? 0)))
  const first = spread(warm.map(({ microseconds }) => microseconds[0] ?? 0))
  return {
    figures: [
      figure('aftertask', 'resident memory a job', 'bytes', bytes(cold), { atMost: 300, aim: 200 }),
      figure('Piscina', 'resident memory a job', 'bytes', bytes(piscina)),
      figure('aftertask', 'last 100,000 adds, of the first', 'x', growth(warm), { atMost: 1.3 }),
      figure('aftertask', 'one add, of the first 100,000', 'us', first),
    ],
    charts: [{ what: 'resident memory a job', label: 'bytes of resident memory for each queued job' }],
    notes: [
      'A million jobs with a payload of one small number on a paused runtime, each time in a fresh process, after a full garbage collection; for Piscina 200,000 calls of run.',
      'The cost of an add is taken after a warm-up of 200,000 jobs in another runtime, garbage collection included.',
    ],
  }
}
