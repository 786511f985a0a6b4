/** Polka with an empty job after every response, against plain Polka: what the jobs cost the requests. */
import { after, createRuntime } from 'aftertask'
import { afterResponse } from 'aftertask/polka'
import type { Middleware } from 'polka'
import { type Bar, type Figure, type Findings, figure, sideBySide } from './kit/findings.ts'
import { LoadMaker } from './kit/load.ts'
import { NaiveRunner, piscinaFor } from './kit/naive.ts'
import { type Contestant, inPairs, type Pair, until } from './kit/pairs.ts'
import { hello, type Running } from './kit/servers.ts'
import { spread } from './kit/statistics.ts'
import { noop, visit } from './tasks.ts'

const bars: Record<string, Bar> = {
  kept: { atLeast: 0.82, aim: 0.92 },
  added: { atMost: 9, aim: 5 },
  p99: { atMost: 1.5 },
  catchUp: { atMost: 20 },
}

const addNoop: Middleware = (req, _res, next) => {
  req.after(noop)
  return next()
}

/** Measures the row. */
export default async function httpNoop(): Promise<Findings> {
  await using runtime = createRuntime({ tasks: [noop, visit] })
  await runtime.ready()
  await using load = new LoadMaker()
  const naive = new NaiveRunner(piscinaFor('noop'))
  const mounted = afterResponse(runtime)
  await using plain = await hello()
  await using again = await hello()
  await using unused = await hello({ use: [mounted] })
  await using withNoop = await hello({ use: [mounted], first: (req) => void req.after(noop) })
  await using inMiddleware = await hello({ use: [mounted, addNoop] })
  await using withoutReq = await hello({ use: [mounted], first: () => void after(noop) })
  await using withVisit = await hello({
    use: [mounted],
    first: (req) => void req.after(visit, { url: req.url ?? '', status: 200 }),
  })
  await using withNaive = await hello({ first: (_req, res) => naive.after(res) })

  const base: Contestant = { name: 'plain Polka', port: plain.port }
  const figures: Figure[] = []
  const against = async (name: string, { port }: Running, pairs: number, rest?: () => Promise<void>) => {
    const found = await inPairs(load, base, { name, port, ...(rest && { drained: rest }) }, { pairs })
    figures.push(...figuresOf(name, found, name === 'aftertask'))
  }
  const drained = (): Promise<void> => until(() => runtime.stats().pending === 0)
  await against('plain Polka again', again, 12)
  await against('aftertask', withNoop, 24, drained)
  await against('aftertask, in a middleware', inMiddleware, 12, drained)
  await against('aftertask, payload checked by zod', withVisit, 16, drained)
  await against('aftertask, after() without req', withoutReq, 16, drained)
  await against('aftertask, mounted but unused', unused, 12)
  await against('naive Piscina', withNaive, 12, () => until(() => naive.pending === 0))
  await naive.piscina.destroy()
  return {
    figures: sideBySide(figures),
    charts: [
      { what: 'requests kept', label: 'requests kept, of plain Polka’s' },
      { what: 'added CPU', label: 'main-thread CPU added to a request, µs' },
    ],
    notes: [
      'The job is added in the route, as in the README; "in a middleware": in one of its own, a step more for Polka.',
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
