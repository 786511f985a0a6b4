/** A lone job on an idle pool: how long until it has settled, against a bare `piscina.run` and a bare port. */
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { createRuntime } from 'aftertask'
import { type Findings, figure } from './kit/findings.ts'
import { piscinaFor } from './kit/naive.ts'
import { median, spread } from './kit/statistics.ts'
import { noop } from './tasks.ts'

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
  const took = contestants.map((): number[] => [])
  for (let round = -100; round < ROUNDS; round++) {
    for (const turn of contestants.keys()) {
      // Each contestant has each place in the round equally often.
      const index = (turn + Math.max(round, 0)) % contestants.length
      const began = performance.now()
      await contestants[index]?.[1]()
      if (round >= 0) took[index]?.push((performance.now() - began) * 1000)
      await pause(1)
    }
  }
  await Promise.all([piscina.destroy(), echo.terminate()])
  const [ours = [], theirs = [], floor = []] = took
  return {
    figures: [
      figure('aftertask', 'time, of Piscina’s', 'x', spread(blockRatios(ours, theirs)), {
        atMost: 0.8,
        aim: 0.6,
      }),
      figure('a bare MessagePort', 'time, of Piscina’s', 'x', spread(blockRatios(floor, theirs))),
      ...contestants.map(([name], index) => figure(name, 'time to settle', 'us', spread(took[index] ?? []))),
    ],
    charts: [{ what: 'time to settle', label: 'µs until a lone empty job has settled' }],
    notes: [
      `${ROUNDS} jobs each in turn, 1 ms apart, one thread each; the ratio is of medians, over blocks of ${ROUNDS_A_BLOCK}.`,
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
