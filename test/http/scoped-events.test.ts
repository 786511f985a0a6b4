/** `after()` in the events of a request, of its response, and of the streams that the request is piped to. */
import { EventEmitter, once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import { connect as connectHttp2, createServer as createHttp2Server } from 'node:http2'
import { PassThrough, pipeline, Transform, Writable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { createGzip } from 'node:zlib'
import express from 'express'
import polka from 'polka'
import polka05 from 'polka-05'
import { describe, expect, onTestFinished, test } from 'vitest'
import { afterResponse as afterAnyResponse } from '../../src/http/index.ts'
import { afterResponse as afterPolkaResponse } from '../../src/http/polka.ts'
import { after as addJob, type Job } from '../../src/index.ts'
import { note } from '../fixtures/http-tasks.ts'
import { handOver, httpRuntime } from '../kit/jobs.ts'
import { get, getBytes, listen, listenPolka, rawClient } from '../kit/serve.ts'

const runtime = httpRuntime()
const tasks = afterAnyResponse(runtime)
const polkaTasks = afterPolkaResponse(runtime)

/** What a handler does with its request until it adds a job, after which it answers with 500. */
type Until = (req: IncomingMessage, add: () => void, res: ServerResponse) => void

const ways: [string, Until][] = [
  ["req.on('end')", (req, add) => void req.on('data', () => {}).on('end', add)],
  ["req.on('data')", (req, add) => void req.once('data', add).resume()],
  ["req.on('readable')", (req, add) => void req.on('readable', () => req.read() === null && add())],
  ["req.on('close')", (req, add) => void req.resume().on('close', add)],
  ["once(req, 'end')", (req, add) => void once(req.resume(), 'end').then(add)],
  [
    'for await',
    async (req, add) => {
      for await (const _ of req);
      add()
    },
  ],
  ['text(req)', (req, add) => void text(req).then(add)],
  [
    "a writable's finish",
    (req, add) => void req.pipe(new Writable({ write: (_c, _e, done) => done() })).on('finish', add),
  ],
  [
    "a transform's flush",
    (req, add) =>
      void req
        .pipe(
          new Transform({
            transform: (_c, _e, done) => done(),
            flush: (done) => {
              add()
              done()
            },
          }),
        )
        .resume(),
  ],
  [
    'two streams further',
    (req, add) => void req.pipe(new PassThrough()).pipe(createGzip()).resume().on('end', add),
  ],
  ['pipeline', (req, add) => void pipeline(req, new PassThrough().resume(), add)],
  ['a timer in an event', (req, add) => void req.resume().on('end', () => setTimeout(add, 1))],
]

function handler(
  until: Until,
  give: (job: Job) => void,
): (req: IncomingMessage, res: ServerResponse) => void {
  return (req, res) => {
    let isAdded = false
    until(
      req,
      () => {
        if (isAdded) return
        isAdded = true
        const job = addJob(note, { text: 'in an event' })
        give(job)
        res.writeHead(500).end(job.state)
      },
      res,
    )
  }
}

const faces: [string, (handle: (req: IncomingMessage, res: ServerResponse) => void) => Promise<number>][] = [
  [
    'a middleware with next',
    (handle) => listen(createServer((req, res) => tasks(req, res, () => handle(req, res)))),
  ],
  [
    'a middleware without next',
    (handle) =>
      listen(
        createServer((req, res) => {
          tasks(req, res)
          handle(req, res)
        }),
      ),
  ],
  ['Polka', (handle) => listenPolka(polka().use(polkaTasks).post('/', handle))],
  ['Polka 0.5', (handle) => listenPolka(polka05().use(polkaTasks, handle))],
  ['Express', (handle) => listen(createServer(express().use(tasks).post('/', handle) as RequestListener))],
]

describe.each(faces)('behind %s, after()', (_face, start) => {
  test.each(ways)(
    'in %s of a request with a body is held, and asks how the response ends',
    async (_way, until) => {
      const added = handOver()
      const port = await start(handler(until, added.give))
      expect(await (await get(port, '/', { method: 'POST', body: 'x'.repeat(200_000) })).text()).toBe('held')
      expect((await (await added.job).settled).state).toBe('skipped')
    },
  )
})

describe('after() in an event', () => {
  test.each<[string, (res: ServerResponse, add: () => void) => void]>([
    ["res.on('finish')", (res, add) => void res.on('finish', add).end('sent')],
    ["res.on('close')", (res, add) => void res.on('close', add).end('sent')],
    ['the callback of res.end', (res, add) => void res.end('sent', add)],
  ])('of a response that was sent finds the request: %s', async (_how, end) => {
    const added = handOver()
    const server = createServer((req, res) =>
      tasks(req, res, () => end(res, () => added.give(addJob(note, { text: 'late' })))),
    )
    await (await get(await listen(server))).text()
    expect((await (await added.job).settled).state).toBe('completed')
  })

  test.each(['req', 'res'])('of a client that leaves finds the request: close of %s', async (which) => {
    const added = handOver()
    const [arrived, facts] = [Promise.withResolvers<void>(), Promise.withResolvers<unknown>()]
    const when = ({ outcome }: { outcome: string }): boolean => {
      facts.resolve(outcome)
      return true
    }
    const mount = afterAnyResponse(httpRuntime({ handlerGrace: 50, pool: { threads: 1 } }, onTestFinished))
    const server = createServer((req, res) =>
      mount(req, res, () => {
        const emitter = which === 'req' ? req : res
        emitter.on('close', () => added.give(addJob(note, { text: 'left' }, { when })))
        arrived.resolve()
      }),
    )
    const client = await rawClient(await listen(server))
    client.send(getBytes('/'))
    await arrived.promise
    client.leave()
    expect((await (await added.job).settled).state).toBe('completed')
    expect(await facts.promise).toBe('aborted')
  })

  test('of a response that drains to a slow client finds the request', async () => {
    const added = handOver()
    const server = createServer((req, res) =>
      tasks(req, res, () => {
        while (res.write(Buffer.alloc(1_000_000)));
        res.once('drain', () => {
          added.give(addJob(note, { text: 'drained' }))
          res.end()
        })
      }),
    )
    await (await get(await listen(server))).arrayBuffer()
    expect((await (await added.job).settled).state).toBe('completed')
  })

  test('of an HTTP/2 request with a body is held', async () => {
    const added = handOver()
    const server = createHttp2Server((req, res) =>
      tasks(req, res, () => {
        req
          .on('data', () => {})
          .on('end', () => {
            const job = addJob(note, { text: 'h2' })
            added.give(job)
            res.writeHead(500)
            res.end(job.state)
          })
      }),
    )
    const session = connectHttp2(`http://127.0.0.1:${await listen(server)}`)
    onTestFinished(() => void session.destroy())
    const stream = session.request({ ':path': '/', ':method': 'POST' })
    stream.end('x'.repeat(100_000))
    expect(await text(stream)).toBe('held')
    expect((await (await added.job).settled).state).toBe('skipped')
  })

  test('finds its own request on a connection that two are pipelined on', async () => {
    const seen: string[] = []
    const server = createServer((req, res) =>
      tasks(req, res, () => {
        req.resume().on('end', () => {
          addJob(
            note,
            { text: 'x' },
            {
              when: ({ url }) => {
                seen.push(`${req.url} ${url}`)
                return true
              },
            },
          )
          res.end(req.url)
        })
      }),
    )
    const client = await rawClient(await listen(server))
    const post = (path: string): string => `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab`
    client.send(post('/one') + post('/two'))
    await client.received('/two')
    expect(seen).toContain('/one /one')
    expect(seen.every((line) => line === '/one /one' || line === '/two /two')).toBe(true)
  })

  test('finds the request also where another middleware has replaced emit before', async () => {
    const added = handOver()
    const emitted: unknown[] = []
    const server = createServer((req, res) => {
      req.emit = function emit(this: IncomingMessage, name: string, ...values: unknown[]) {
        emitted.push(name)
        return EventEmitter.prototype.emit.call(this, name, ...values)
      } as typeof req.emit
      tasks(req, res, () => handler((r, add) => void r.resume().on('end', add), added.give)(req, res))
    })
    expect(await (await get(await listen(server), '/', { method: 'POST', body: 'x' })).text()).toBe('held')
    expect(emitted).toContain('end')
  })
})

test('a job starts once its response is over, also where another middleware has replaced emit since', async () => {
  const { give, job } = handOver()
  const server = createServer((req, res) =>
    tasks(req, res, () => {
      res.emit = EventEmitter.prototype.emit
      give(addJob(note, { text: 'after all' }))
      res.end('over')
    }),
  )
  // The connection stays open: nothing but the end of the response can tell.
  server.keepAliveTimeout = 0
  const client = await rawClient(await listen(server))
  client.send('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
  await client.received('over')
  expect(await (await job).settled).toMatchObject({ state: 'completed' })
})
