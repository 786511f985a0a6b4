/** A lone job on an idle pool: how long until it has settled, against a bare `piscina.run` and a bare port. */
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { createRuntime } from 'aftertask'
import { type Findings, figure } from './kit/findings.ts'
import { piscinaFor } from './kit/naive.ts'
import { median, spread } from './kit/statistics.ts'
import { noop } from './tasks.ts'

/** Jobs of each contestant before the first round: a server that has been up for a while runs compiled code. */
const WARM_UP = 20_000
const ROUNDS = 1000
const ROUNDS_A_BLOCK = 50

/** Measures the row. */
export default async function lone(): Promise<Findings> {
  await using runtime = createRuntime({ tasks: [noop] })
  const piscina = piscinaFor('noop')
  const echo = new Worker(
    "const { parentPort } = require('node:worker_threads'); parentPort.on('message', (m) => parentPort.postMessage(m))",
    { eval: true },
  )
  await Promise.all([runtime.ready(), piscina.run(null), once(echo, 'online')])

  const contestants: readonly [name: string, round: () => Promise<unknown>][] = [
    ['aftertask', () => runtime.enqueue(noop).settled],
    ['Piscina', () => piscina.run(null)],
    ['a bare MessagePort', () => roundTrip(echo)],
  ]
  const measure = async (): Promise<number[][]> => {
    const took = contestants.map((): number[] => [])
    for (let round = 0; round < ROUNDS; round++) {
      for (const turn of contestants.keys()) {
        // Each contestant has each place in the round equally often.
        const index = (turn + round) % contestants.length
        const began = performance.now()
        await contestants[index]?.[1]()
        took[index]?.push((performance.now() - began) * 1000)
        await pause(1)
      }
    }
    return took
  }
  const [early = [], theirsEarly = []] = await measure()
  for (const [, run] of contestants) for (let job = 0; job < WARM_UP; job++) await run()
  const took = await measure()
  await Promise.all([piscina.destroy(), echo.terminate()])
  const [ours = [], theirs = [], floor = []] = took
  return {
    figures: [
      figure('aftertask', 'time, of Piscina’s', 'x', spread(blockRatios(ours, theirs)), {
        atMost: 0.8,
        aim: 0.6,
      }),
      figure('aftertask, its first jobs', 'time, of Piscina’s', 'x', spread(blockRatios(early, theirsEarly))),
      figure('a bare MessagePort', 'time, of Piscina’s', 'x', spread(blockRatios(floor, theirs))),
      ...contestants.map(([name], index) => figure(name, 'time to settle', 'us', spread(took[index] ?? []))),
      figure('aftertask, its first jobs', 'time to settle', 'us', spread(early)),
      figure('Piscina, its first jobs', 'time to settle', 'us', spread(theirsEarly)),
    ],
    charts: [{ what: 'time to settle', label: 'µs until a lone empty job has settled' }],
    notes: [
      `${ROUNDS} jobs each in turn, 1 ms apart, one thread each; the ratio is of medians, over blocks of ${ROUNDS_A_BLOCK}.`,
      `Measured when each has run ${WARM_UP.toLocaleString('en')} jobs. "Its first jobs": the first ${ROUNDS}, when little of either side is compiled yet.`,
    ],
  }
}

function roundTrip(echo: Worker): Promise<unknown> {
  const { promise, resolve } = Promise.withResolvers<unknown>()
  echo.once('message', resolve)
  echo.postMessage(null)
  return promise
}

function blockRatios(ours: readonly number[], theirs: readonly number[]): number[] {
  const ratios: number[] = []
  for (let at = 0; at + ROUNDS_A_BLOCK <= ours.length; at += ROUNDS_A_BLOCK) {
    const block = (times: readonly number[]): number => median(times.slice(at, at + ROUNDS_A_BLOCK))
    ratios.push(block(ours) / block(theirs))
  }
  return ratios
}
