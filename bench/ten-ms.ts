/** A hundred jobs of 10 ms through one thread: what is lost between one job and the next. */
import { createRuntime } from 'aftertask'
import { type Findings, figure } from './kit/findings.ts'
import { piscinaFor } from './kit/naive.ts'
import { spread } from './kit/statistics.ts'
import { burn } from './tasks.ts'

const ROUNDS = 6
const JOBS = 100
const payload = { milliseconds: 10 }

/** Measures the row. */
export default async function tenMs(): Promise<Findings> {
  await using runtime = createRuntime({ tasks: [burn], pool: { threads: 1 } })
  const piscina = piscinaFor('burn')
  const ours = (): Promise<unknown> => runtime.enqueue(burn, payload).settled
  const theirs = (): Promise<unknown> => piscina.run(payload)
  for (let job = 0; job < 10; job++) await Promise.all([ours(), theirs()])
  const rates: { ours: number; theirs: number }[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const first = await rate(round % 2 === 0 ? ours : theirs)
    const second = await rate(round % 2 === 0 ? theirs : ours)
    rates.push(round % 2 === 0 ? { ours: first, theirs: second } : { ours: second, theirs: first })
  }
  await piscina.destroy()
  return {
    figures: [
      figure('aftertask', 'rate, of Piscina’s', 'x', spread(rates.map((pair) => pair.ours / pair.theirs)), {
        atLeast: 0.98,
      }),
      figure('aftertask', 'rate', 'jobs/s', spread(rates.map((pair) => pair.ours))),
      figure('Piscina', 'rate', 'jobs/s', spread(rates.map((pair) => pair.theirs))),
    ],
    charts: [{ what: 'rate', label: 'jobs of 10 ms a second, one thread' }],
    notes: [
      `${JOBS} jobs at once, each of 10 ms of its thread’s own CPU time, ${ROUNDS} rounds in turn; 100 a second is the limit.`,
    ],
  }
}

async function rate(run: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await Promise.all(Array.from({ length: JOBS }, run))
  return (JOBS * 1000) / (performance.now() - began)
}
