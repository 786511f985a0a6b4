/** Adds jobs that nobody takes, and tells what they weigh: a program for `memory`, run in a process of its own. */
import { createRuntime, type Runtime } from 'aftertask'
import { answer } from './kit/child.ts'
import { collect } from './kit/garbage.ts'
import { piscinaFor } from './kit/naive.ts'
import { count } from './tasks.ts'

/** What a pile of jobs was found to cost. */
export interface Piled {
  readonly bytesAJob: number
  /** Microseconds of one add, for each tenth of the jobs. */
  readonly microseconds: readonly number[]
}

const [who, warm] = process.argv.slice(2)
const jobs = who === 'piscina' ? 200_000 : 1_000_000

const add = who === 'piscina' ? await piscinaAdd() : await ourAdd()
collect()
const before = process.memoryUsage.rss()
const microseconds: number[] = []
for (let tenth = 0; tenth < 10; tenth++) {
  const began = performance.now()
  for (let job = 0; job < jobs / 10; job++) add(tenth * (jobs / 10) + job)
  microseconds.push(((performance.now() - began) * 1000) / (jobs / 10))
}
collect()
answer({ bytesAJob: (process.memoryUsage.rss() - before) / jobs, microseconds } satisfies Piled)

async function ourAdd(): Promise<(n: number) => void> {
  if (warm !== undefined) {
    const first = await pausedRuntime()
    for (let job = 0; job < 200_000; job++) first.enqueue(count, { n: job })
    await first.stop({ timeout: 0 })
  }
  const runtime = await pausedRuntime()
  return (n) => void runtime.enqueue(count, { n })
}

async function pausedRuntime(): Promise<Runtime<typeof count>> {
  const runtime = createRuntime({ tasks: [count], maxPending: Number.POSITIVE_INFINITY, log: false })
  await runtime.ready()
  runtime.pause()
  return runtime
}

async function piscinaAdd(): Promise<(n: number) => void> {
  const piscina = piscinaFor('noop')
  await piscina.run(null)
  // The loop below never yields, so no task ends meanwhile.
  return (n) => void piscina.run({ n }).catch(() => undefined)
}
