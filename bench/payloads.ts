/**
 * Jobs with large payloads: what one call holds the event loop for, and how long until such a job has settled, against
 * `piscina.run` with the same value.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { createRuntime, defineTask } from 'aftertask'
import { z } from 'zod'
import { type Bar, type Figure, type Findings, figure, sideBySide } from './kit/findings.ts'
import { collect } from './kit/garbage.ts'
import { piscinaFor } from './kit/naive.ts'
import { spread } from './kit/statistics.ts'

const bar: Bar = { atMost: 1, aim: 0.7 }
const barOfAll: Bar = { atMost: 1, aim: 0.8 }

const values: Readonly<Record<string, readonly [rounds: number, value: unknown]>> = {
  '10 rows': [400, rows(10)],
  '1,000 rows': [200, rows(1000)],
  '50,000 rows': [24, rows(50_000)],
  'bytes of 64 kB': [200, new Uint8Array(65_536).fill(7)],
  'bytes of 10 MB': [24, new Uint8Array(1e7).fill(7)],
  'bytes of 100 MB': [7, new Uint8Array(1e8).fill(7)],
  'a text of 10 MB': [24, textOf(1e7)],
  'a Map of 10,000 dates': [40, new Map(Array.from({ length: 10_000 }, (_, at) => [`${at}`, new Date(at)]))],
}

const noop = defineTask({
  name: 'noop',
  payload: z.unknown(),
  handler: new URL('./workers/noop.ts', import.meta.url),
})
const echo = defineTask({
  name: 'echo',
  payload: z.unknown(),
  handler: new URL('./workers/echo.ts', import.meta.url),
})

/** One side: hands a value over, and says what to wait for. */
type Send = (value: unknown) => Promise<unknown>

/** Measures the row. */
export default async function payloads(): Promise<Findings> {
  await using runtime = createRuntime({
    tasks: [noop, echo],
    maxPayloadBytes: 2 ** 28,
    maxResultBytes: 2 ** 28,
  })
  const piscinas = { noop: piscinaFor('noop'), echo: piscinaFor('echo') }
  await runtime.ready()
  const figures: Figure[] = []
  for (const [name, [rounds, value]] of Object.entries(values)) {
    const there = await measure(value, rounds, [
      (given) => runtime.enqueue(noop, given).settled,
      (given) => piscinas.noop.run(given),
    ])
    const back = await measure(value, rounds, [
      (given) => runtime.enqueue(echo, given).result(),
      (given) => piscinas.echo.run(given),
    ])
    figures.push(
      figure(name, 'event-loop time of a call, of Piscina’s', 'x', spread(ratios(there.calls)), bar),
      figure(name, 'event-loop time of a call', 'us', spread(there.calls[0])),
      figure(name, 'time to settle, of Piscina’s', 'x', spread(ratios(there.whole)), barOfAll),
      figure(name, 'time until it is back, of Piscina’s', 'x', spread(ratios(back.whole)), barOfAll),
    )
  }
  await Promise.all([piscinas.noop.destroy(), piscinas.echo.destroy()])
  return {
    figures: sideBySide(figures),
    charts: [],
    notes: [
      'Handed over by turns to either side, alternating which goes first, one thread each. The time of a call is that of the synchronous part of `enqueue` and of `piscina.run`; the value is made before.',
      'A row has four properties, one of them a text. "Back": the handler returns what it was given.',
    ],
  }
}

type Both = readonly [ours: number[], theirs: number[]]

async function measure(
  value: unknown,
  rounds: number,
  sides: readonly [Send, Send],
): Promise<{ readonly calls: Both; readonly whole: Both }> {
  const calls: Both = [[], []]
  const whole: Both = [[], []]
  const warmUp = Math.ceil(rounds / 4)
  for (let round = -warmUp; round < rounds; round++) {
    for (const turn of [0, 1]) {
      const side = (round + turn) & 1
      const began = performance.now()
      const waiting = (sides[side] as Send)(value)
      const called = performance.now()
      await waiting
      const ended = performance.now()
      if (round >= 0) {
        calls[side as 0 | 1].push((called - began) * 1000)
        whole[side as 0 | 1].push((ended - began) * 1000)
      }
      // The garbage of the one is not the other's to collect.
      collect({ type: 'minor' })
      await pause(1)
    }
  }
  return { calls, whole }
}

function ratios([ours, theirs]: Both): number[] {
  return ours.map((time, index) => time / (theirs[index] as number))
}

function rows(count: number): object[] {
  return Array.from({ length: count }, (_, id) => ({
    id,
    name: `row ${id}`,
    isNew: id % 2 === 0,
    price: id * 1.5,
  }))
}

/** A text as a body that was read has it: in one piece. */
function textOf(length: number): string {
  return Buffer.from('Lorem ipsum dolor sit amet. '.repeat(length / 28)).toString()
}
