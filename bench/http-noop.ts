/** Polka with an empty job after every response, against plain Polka: what the jobs cost the requests. */
import { createRuntime } from 'aftertask'
import { afterEach } from './kit/by-hand.ts'
import { type Bar, type Figure, type Findings, figure, sideBySide } from './kit/findings.ts'
import { LoadMaker } from './kit/load.ts'
import { NaiveRunner, piscinaFor } from './kit/naive.ts'
import { type Contestant, inPairs, type Pair, until } from './kit/pairs.ts'
import { hello } from './kit/servers.ts'
import { spread } from './kit/statistics.ts'
import { noop, visit } from './tasks.ts'

const bars: Record<string, Bar> = {
  kept: { atLeast: 0.82, aim: 0.92 },
  added: { atMost: 9, aim: 5 },
  p99: { atMost: 1.5 },
  catchUp: { atMost: 20 },
}

/** Measures the row. */
export default async function httpNoop(): Promise<Findings> {
  await using runtime = createRuntime({ tasks: [noop, visit] })
  await runtime.ready()
  await using load = new LoadMaker()
  const naive = new NaiveRunner(piscinaFor('noop'))
  await using plain = await hello()
  await using again = await hello()
  await using withNoop = await hello(afterEach(runtime, 'noop'))
  await using withVisit = await hello(afterEach(runtime, 'visit', (url) => ({ url, status: 200 })))
  await using withNaive = await hello(naive.afterEach)

  const drained = (): Promise<void> => until(() => runtime.stats().pending === 0)
  const base: Contestant = { name: 'plain Polka', port: plain.port }
  const figures: Figure[] = []
  const against = async (other: Contestant, pairs: number, barred = false): Promise<void> => {
    figures.push(...figuresOf(other.name, await inPairs(load, base, other, { pairs }), barred))
  }
  await against({ name: 'plain Polka again', port: again.port }, 12)
  await against({ name: 'aftertask', port: withNoop.port, drained }, 24, true)
  await against({ name: 'aftertask, payload checked by zod', port: withVisit.port, drained }, 24)
  await against(
    { name: 'naive Piscina', port: withNaive.port, drained: () => until(() => naive.pending === 0) },
    12,
  )
  await naive.piscina.destroy()
  return {
    figures: sideBySide(figures),
    charts: [
      { what: 'requests kept', label: 'requests kept, of plain Polka’s' },
      { what: 'added CPU', label: 'main-thread CPU added to a request, µs' },
    ],
    notes: [
      'One thread each; 32 connections. "Added CPU" is the main thread’s, until the last job of the slice is done.',
      '"plain Polka again" is the same server twice: how far from 1 it lies is the error of the method.',
    ],
  }
}

function figuresOf(name: string, pairs: readonly Pair[], barred: boolean): Figure[] {
  const of = (what: string, unit: string, each: (pair: Pair) => number, bar?: Bar): Figure =>
    figure(name, what, unit, spread(pairs.map(each)), barred ? bar : undefined)
  return [
    of('requests kept', 'x', ({ base, other }) => other.perSecond / base.perSecond, bars['kept']),
    of('added CPU', 'us', ({ base, other }) => other.cpu - base.cpu, bars['added']),
    of('p99', 'x', ({ base, other }) => other.p99 / base.p99, bars['p99']),
    of('catch-up', 'ms', ({ other }) => other.catchUp, bars['catchUp']),
  ]
}
