/** What the parts of any such middleware cost by themselves: nothing that has them can be cheaper than their sum. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { once } from 'node:events'
import { MessageChannel, Worker } from 'node:worker_threads'
import type { Middleware } from 'polka'
import { type Figure, type Findings, figure, sideBySide } from './kit/findings.ts'
import { LoadMaker } from './kit/load.ts'
import { inPairs, until } from './kit/pairs.ts'
import { hello } from './kit/servers.ts'
import { spread } from './kit/statistics.ts'

/** Measures the row. */
export default async function floors(): Promise<Findings> {
  await using load = new LoadMaker()
  await using plain = await hello()
  const bundles = await bundlesOnAPort()
  const storage = new AsyncLocalStorage<object>()
  const parts: Readonly<Record<string, Middleware>> = {
    'next()': (_req, _res, next) => next(),
    'AsyncLocalStorage.run': (req, _res, next) => storage.run(req, next),
    'one finish listener': (_req, res, next) => {
      res.on('finish', nothing)
      return next()
    },
    'finish, close and a close of the socket': (req, res, next) => {
      const { socket } = req
      const over = (): void => {
        res.off('finish', over)
        res.off('close', over)
        socket.off('close', over)
      }
      res.on('finish', over)
      res.on('close', over)
      socket.on('close', over)
      return next()
    },
    'finish, array, one bundle in flight on a port': (_req, res, next) => {
      res.on('finish', bundles.add)
      return next()
    },
  }
  const figures: Figure[] = []
  for (const [name, middleware] of Object.entries(parts)) {
    await using server = await hello({ use: [middleware] })
    const drained = (): Promise<void> => until(() => bundles.pending() === 0)
    const base = { name: 'plain Polka', port: plain.port }
    const pairs = await inPairs(load, base, { name, port: server.port, drained }, { pairs: 10 })
    figures.push(
      figure(
        name,
        'requests kept',
        'x',
        spread(pairs.map(({ base: one, other }) => other.perSecond / one.perSecond)),
      ),
      figure(name, 'added CPU', 'us', spread(pairs.map(({ base: one, other }) => other.cpu - one.cpu))),
    )
    if (figures.length === 2) {
      figures.push(
        figure('plain Polka', 'rate', 'requests/s', spread(pairs.map((pair) => pair.base.perSecond))),
        figure('plain Polka', 'main-thread CPU', 'us', spread(pairs.map((pair) => pair.base.cpu))),
      )
    }
  }
  await bundles.close()
  return {
    figures: sideBySide(figures),
    charts: [{ what: 'added CPU', label: 'main-thread CPU added to a request, µs' }],
    notes: ['Middleware that does only this, against plain Polka. No part of it is aftertask.'],
  }
}

const ECHO = `
  const { parentPort } = require('node:worker_threads')
  parentPort.once('message', (port) => port.on('message', (bundle) => port.postMessage(bundle.length)))`

/** The least that hands jobs to a thread: what has gathered is sent when the last bundle has come back. */
async function bundlesOnAPort(): Promise<{ add(): void; pending(): number; close(): Promise<unknown> }> {
  const worker = new Worker(ECHO, { eval: true })
  await once(worker, 'online')
  const { port1, port2 } = new MessageChannel()
  worker.postMessage(port2, [port2])
  let gathered: number[] = []
  let away = 0
  let isSet = false
  const send = (): void => {
    isSet = false
    if (away > 0 || gathered.length === 0) return
    away = gathered.length
    port1.postMessage(gathered)
    gathered = []
  }
  port1.on('message', () => {
    away = 0
    send()
  })
  return {
    add(): void {
      gathered.push(1)
      if (isSet) return
      isSet = true
      setImmediate(send)
    },
    pending: () => away + gathered.length,
    async close() {
      port1.close()
      return await worker.terminate()
    },
  }
}

function nothing(): void {
  // What it costs to be called.
}
