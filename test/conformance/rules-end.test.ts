/** The rules of the response that are about its end: 3 (nothing starts before), 5 (a client that leaves), 10 (the connection is free). */
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import {
  connect as connectHttp2,
  constants,
  createServer as createHttp2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from 'node:http2'
import { Readable } from 'node:stream'
import polka from 'polka'
import { describe, expect, onTestFinished, test } from 'vitest'
import { afterResponse as afterAnyResponse } from '../../src/http/index.ts'
import { afterResponse } from '../../src/http/polka.ts'
import type { Job, ResponseFacts } from '../../src/index.ts'
import { note } from '../fixtures/http-tasks.ts'
import { everythingElseRan, gate, handOver, httpRuntime, nowOnAllThreads } from '../kit/jobs.ts'
import { get, getBytes, listen, listenPolka, rawClient } from '../kit/serve.ts'

// So long that no test here can pass because the grace is over.
const runtime = httpRuntime({ handlerGrace: 3_600_000 })
const tasks = afterResponse(runtime)
const anyTasks = afterAnyResponse(runtime)

interface Ran {
  started: number
}

/** A `when` that lets the job run and tells the facts that it was decided on. */
function facts(): { when: (facts: ResponseFacts) => boolean; seen: Promise<ResponseFacts> } {
  const { promise, resolve } = Promise.withResolvers<ResponseFacts>()
  const when = (seen: ResponseFacts): boolean => {
    resolve(seen)
    return true
  }
  return { when, seen: promise }
}

/** A handler under control: it goes on when `proceed` is called. */
function control(): {
  reached: Promise<void>
  reach: () => void
  proceeded: Promise<void>
  proceed: () => void
} {
  const reached = Promise.withResolvers<void>()
  const proceeded = Promise.withResolvers<void>()
  return {
    reached: reached.promise,
    reach: reached.resolve,
    proceeded: proceeded.promise,
    proceed: proceeded.resolve,
  }
}

describe('rule 3: nothing of a batch starts before the response settles', () => {
  test('a job is held for as long as its response is open', async () => {
    const added = handOver()
    const handler = control()
    const app = polka()
      .use(tasks)
      .get('/', async (req, res) => {
        added.give(req.after(note, { text: 'held' }))
        res.write('part')
        await handler.proceeded
        res.end()
      })
    const response = await get(await listenPolka(app))
    const job = await added.job
    await everythingElseRan(runtime)
    expect(job.state).toBe('held')
    handler.proceed()
    await response.text()
    expect((await job.settled).state).toBe('completed')
  })

  test.each([1, 2, 3])('a response that is sent whole settles as sent, keep-alive request %i', async () => {
    const { when, seen } = facts()
    const app = polka()
      .use(tasks)
      .post('/some/path', async (req, res) => {
        for await (const _chunk of req) void _chunk
        req.after(note, { text: 'sent' }, { when })
        res.statusCode = 201
        res.end('done')
      })
    await (
      await get(await listenPolka(app), '/some/path?q=1', { method: 'POST', body: 'x'.repeat(1000) })
    ).text()
    expect(await seen).toEqual({
      statusCode: 201,
      outcome: 'sent',
      error: undefined,
      method: 'POST',
      url: '/some/path?q=1',
    })
  })

  test('leaves no listener behind on a keep-alive connection, however many requests it carries', async () => {
    const counts: number[] = []
    const app = polka()
      .use(tasks)
      .get('/', (req, res) => {
        counts.push(req.socket.listenerCount('close'))
        const job = req.after(note, { text: 'count' })
        res.end(`end-${counts.length}`)
        res.on('close', () => void job.settled)
      })
    const client = await rawClient(await listenPolka(app))
    for (let i = 1; i <= 12; i++) {
      client.send(getBytes('/'))
      await client.received(`end-${i}`)
    }
    expect(new Set(counts.slice(1))).toEqual(new Set([(counts[0] ?? 0) + 1]))
  })

  test('leaves no listener behind on the response', async () => {
    const counts = Promise.withResolvers<number>()
    const app = polka()
      .use(tasks)
      .get('/', (req, res) => {
        const before = res.listenerCount('finish') + res.listenerCount('close')
        req.after(note, { text: 'listeners' })
        res.on('close', () => {
          // Its own one is still there.
          counts.resolve(res.listenerCount('finish') + res.listenerCount('close') - before - 1)
        })
        res.end()
      })
    await get(await listenPolka(app))
    expect(await counts.promise).toBe(0)
  })

  test('attaches nothing to a request that adds no job', async () => {
    const counted = Promise.withResolvers<number[]>()
    const server = createServer((req, res) => {
      const before = [
        req.socket.listenerCount('close'),
        res.listenerCount('finish'),
        res.listenerCount('close'),
      ]
      anyTasks(req, res, () => {
        const now = [
          req.socket.listenerCount('close'),
          res.listenerCount('finish'),
          res.listenerCount('close'),
        ]
        counted.resolve(now.map((count, i) => count - (before[i] ?? 0)))
        res.end()
      })
    })
    await get(await listen(server))
    expect(await counted.promise).toEqual([0, 0, 0])
  })

  test('a response that is ended and destroyed in one go settles once', async () => {
    const decided: string[] = []
    const added = handOver()
    const app = polka()
      .use(tasks)
      .get('/', (req, res) => {
        const when = ({ outcome }: ResponseFacts): boolean => decided.push(outcome) > 0
        added.give(req.after(note, { text: 'destroyed' }, { when }))
        res.end('body')
        res.destroy()
      })
    const client = await rawClient(await listenPolka(app))
    client.send(getBytes('/'))
    await once(client.socket, 'close')
    await (await added.job).settled
    expect(decided).toHaveLength(1)
  })
})

describe('rule 5: a client that leaves', () => {
  test('before the handler has ended: the job is held until it has', async () => {
    const added = handOver<Ran>()
    const handler = control()
    let ended = Number.POSITIVE_INFINITY
    const { when, seen } = facts()
    const app = polka()
      .use(tasks)
      .get('/', async (req, res) => {
        added.give(req.after(note, { text: 'patient' }, { when }))
        void once(res, 'close').then(handler.reach)
        await handler.proceeded
        ended = nowOnAllThreads()
      })
    const client = await rawClient(await listenPolka(app))
    client.send(getBytes('/'))
    const job = await added.job
    client.leave()
    await handler.reached
    await everythingElseRan(runtime)
    expect(job.state).toBe('held')
    handler.proceed()
    expect((await job.result()).started).toBeGreaterThan(ended)
    expect((await seen).outcome).toBe('aborted')
  })

  test('before the handler has ended: calling end() ends it', async () => {
    const added = handOver<Ran>()
    let called = Number.POSITIVE_INFINITY
    const app = polka()
      .use(tasks)
      .get('/', (req, res) => {
        added.give(req.after(note, { text: 'callback' }))
        // A handler that works through callbacks: what it returns says nothing about its end.
        res.on('close', async () => {
          await everythingElseRan(runtime)
          called = nowOnAllThreads()
          res.end('nobody reads this')
        })
      })
    const client = await rawClient(await listenPolka(app))
    client.send(getBytes('/'))
    const job = await added.job
    client.leave()
    expect((await job.result()).started).toBeGreaterThan(called)
  })

  test('before the handler adds its first job: that job is held until the handler has ended too', async () => {
    const added = handOver<Ran>()
    let ended = Number.POSITIVE_INFINITY
    const server = createServer((req, res) =>
      anyTasks(req, res, async () => {
        await once(res, 'close')
        const job = req.after(note, { text: 'late' })
        added.give(job)
        await everythingElseRan(runtime)
        expect(job.state).toBe('held')
        ended = nowOnAllThreads()
      }),
    )
    const client = await rawClient(await listen(server))
    const arrived = once(server, 'request')
    client.send(getBytes('/'))
    await arrived
    client.leave()
    expect((await (await added.job).result()).started).toBeGreaterThan(ended)
  })

  test('before the request reaches the middleware: the job is held until the handler has ended too', async () => {
    const added = handOver<Ran>()
    let ended = Number.POSITIVE_INFINITY
    const server = createServer(async (req, res) => {
      await once(res, 'close')
      await anyTasks(req, res, async () => {
        added.give(req.after(note, { text: 'gone before' }))
        await everythingElseRan(runtime)
        ended = nowOnAllThreads()
      })
    })
    const client = await rawClient(await listen(server))
    const arrived = once(server, 'request')
    client.send(getBytes('/'))
    await arrived
    client.leave()
    expect((await (await added.job).result()).started).toBeGreaterThan(ended)
  })

  test('in the middle of a streamed body: the job runs', async () => {
    const added = handOver()
    const { when, seen } = facts()
    const app = polka()
      .use(tasks)
      .get('/', (req, res) => {
        added.give(req.after(note, { text: 'stream' }, { when }))
        const endless = new Readable({
          read() {
            setImmediate(() => this.push('part '))
          },
        })
        res.on('close', () => endless.destroy())
        endless.pipe(res)
      })
    const client = await rawClient(await listenPolka(app))
    client.send(getBytes('/'))
    await client.received('part ')
    client.leave()
    expect((await (await added.job).settled).state).toBe('completed')
    expect((await seen).outcome).toBe('aborted')
  })

  test('with a large body unread: the job runs, and the outcome is aborted', async () => {
    const added = handOver()
    const { when, seen } = facts()
    const app = polka()
      .use(tasks)
      .get('/', (req, res) => {
        added.give(req.after(note, { text: 'unread' }, { when }))
        res.end(Buffer.alloc(30_000_000))
      })
    const client = await rawClient(await listenPolka(app))
    client.send(getBytes('/'))
    await client.received('200 OK')
    client.socket.pause()
    client.leave()
    expect((await (await added.job).settled).state).toBe('completed')
    expect((await seen).outcome).toBe('aborted')
  })

  test('after the body: the job runs, and the outcome is sent', async () => {
    const added = handOver()
    const { when, seen } = facts()
    const app = polka()
      .use(tasks)
      .get('/', (req, res) => {
        added.give(req.after(note, { text: 'after' }, { when }))
        res.end('body')
      })
    const client = await rawClient(await listenPolka(app))
    client.send(getBytes('/'))
    await client.received('body')
    client.leave()
    expect((await (await added.job).settled).state).toBe('completed')
    expect((await seen).outcome).toBe('sent')
  })

  test('half-closing its side counts as leaving', async () => {
    const added = handOver()
    const { when, seen } = facts()
    const app = polka()
      .use(tasks)
      .get('/', async (req, res) => {
        added.give(req.after(note, { text: 'half' }, { when }))
        await once(res, 'close')
      })
    const client = await rawClient(await listenPolka(app))
    client.send(getBytes('/'))
    await added.job
    client.socket.end()
    expect((await (await added.job).settled).state).toBe('completed')
    expect((await seen).outcome).toBe('aborted')
  })

  test('while a handler goes on for ever: the job runs after handlerGrace, and jobs added later run at once', async () => {
    const impatient = httpRuntime({ handlerGrace: 20 }, onTestFinished)
    const added = handOver()
    const handler = control()
    const later = handOver()
    const app = polka()
      .use(afterResponse(impatient))
      .get('/', async (req) => {
        added.give(req.after(note, { text: 'grace' }))
        await handler.proceeded
        later.give(req.after(note, { text: 'later' }))
        await new Promise(() => {})
      })
    const client = await rawClient(await listenPolka(app))
    client.send(getBytes('/'))
    const job = await added.job
    client.leave()
    expect((await job.settled).state).toBe('completed')
    handler.proceed()
    expect((await (await later.job).settled).state).toBe('completed')
  })

  test('while a handler goes on for ever: a job that it adds to another runtime runs after the grace of that one', async () => {
    const impatient = httpRuntime({ handlerGrace: 20 }, onTestFinished)
    const added = handOver()
    const app = polka()
      .use(tasks)
      .use((req, _res, next) => {
        req.after(note, { text: 'patient' }, { when: 'error' })
        return next()
      })
      .use(afterResponse(impatient))
      .get('/', async (req, res) => {
        await once(res, 'close')
        added.give(req.after(note, { text: 'impatient' }))
        await new Promise(() => {})
      })
    const arrived = Promise.withResolvers<void>()
    const port = await listenPolka(app)
    app.server.on('request', () => arrived.resolve())
    const client = await rawClient(port)
    client.send(getBytes('/'))
    await arrived.promise
    client.leave()
    expect((await (await added.job).settled).state).toBe('completed')
  })

  test('of a handler in a sub-app: the job is held until that handler has ended', async () => {
    const added = handOver<Ran>()
    let ended = Number.POSITIVE_INFINITY
    const sub = polka().get('/deep', async (req, res) => {
      added.give(req.after(note, { text: 'sub' }))
      await once(res, 'close')
      await everythingElseRan(runtime)
      ended = nowOnAllThreads()
      res.end()
    })
    const client = await rawClient(await listenPolka(polka().use(tasks).use('/sub', sub)))
    client.send(getBytes('/sub/deep'))
    const job = await added.job
    client.leave()
    expect((await job.result()).started).toBeGreaterThan(ended)
  })

  test('a status set after the client has left is what when decides on', async () => {
    const added = handOver()
    const app = polka()
      .use(tasks)
      .get('/', async (req, res) => {
        added.give(req.after(note, { text: 'failed late' }))
        await once(res, 'close')
        throw new Error('the handler fails after the client has left')
      })
    const client = await rawClient(await listenPolka(app))
    client.send(getBytes('/'))
    const job = await added.job
    client.leave()
    expect((await job.settled).state).toBe('skipped')
  })

  test('a pipelined pair whose socket dies settles both as aborted', async () => {
    const first = facts()
    const second = facts()
    const jobs: Job[] = []
    const both = Promise.withResolvers<void>()
    const app = polka()
      .use(tasks)
      .get('/slow', async (req, res) => {
        jobs.push(req.after(note, { text: 'slow' }, { when: first.when }))
        await once(res, 'close')
      })
      .get('/fast', (req, res) => {
        jobs.push(req.after(note, { text: 'fast' }, { when: second.when }))
        // Ended, but behind the slow one: nothing of it has been sent.
        res.end('fast')
        both.resolve()
      })
    const client = await rawClient(await listenPolka(app))
    client.send(getBytes('/slow') + getBytes('/fast'))
    await both.promise
    client.leave()
    const settled = await Promise.all(jobs.map((job) => job.settled))
    expect(settled.map(({ state }) => state)).toEqual(['completed', 'completed'])
    expect([(await first.seen).outcome, (await second.seen).outcome]).toEqual(['aborted', 'aborted'])
  })
})

describe('rule 10: the connection is free at response end', () => {
  test('a keep-alive connection carries the next request while the task of the last one still runs', async () => {
    const { channel, open } = gate()
    const added = handOver()
    const app = polka()
      .use(tasks)
      .get('/task', (req, res) => {
        added.give(req.after('gated', { channel }))
        res.end('first answer')
      })
      .get('/next', (_req, res) => void res.end('second answer'))
    const client = await rawClient(await listenPolka(app))
    const started = Promise.withResolvers<void>()
    runtime.on('job:progress', () => started.resolve())
    client.send(getBytes('/task'))
    await client.received('first answer')
    await started.promise
    client.send(getBytes('/next'))
    await client.received('second answer')
    const job = await added.job
    expect(job.state).toBe('running')
    open()
    expect((await job.settled).state).toBe('completed')
  })

  test('pipelined responses are sent in order, and each settles as sent', async () => {
    const outcomes: Promise<ResponseFacts>[] = []
    const app = polka()
      .use(tasks)
      .get('/:name', async (req, res) => {
        const { when, seen } = facts()
        outcomes.push(seen)
        req.after(note, { text: req.params['name'] ?? '' }, { when })
        if (req.params['name'] === 'a') await new Promise(setImmediate)
        res.end(`answer ${req.params['name']}`)
      })
    const client = await rawClient(await listenPolka(app))
    client.send(getBytes('/a') + getBytes('/b') + getBytes('/c'))
    await client.received('answer c')
    expect(client.text().match(/answer ./g)).toEqual(['answer a', 'answer b', 'answer c'])
    expect((await Promise.all(outcomes)).map(({ outcome }) => outcome)).toEqual(['sent', 'sent', 'sent'])
  })

  test.each([
    ['HEAD', 200, 'HEAD'],
    ['204', 204, 'GET'],
    ['304', 304, 'GET'],
  ])('a response without a body settles as sent: %s', async (_name, status, method) => {
    const { when, seen } = facts()
    const app = polka()
      .use(tasks)
      .get('/', (req, res) => {
        req.after(note, { text: 'no body' }, { when })
        res.writeHead(status).end()
      })
    const client = await rawClient(await listenPolka(app))
    client.send(getBytes('/', method) + getBytes('/', method))
    await client.received(`HTTP/1.1 ${status}`)
    expect(await seen).toMatchObject({ statusCode: status, outcome: 'sent', method })
  })

  test('a streamed response settles as sent when its last part is out', async () => {
    const { when, seen } = facts()
    const app = polka()
      .use(tasks)
      .get('/', (req, res) => {
        req.after(note, { text: 'stream' }, { when })
        Readable.from(['a', 'b', 'c']).pipe(res)
      })
    expect(await (await get(await listenPolka(app))).text()).toBe('abc')
    expect((await seen).outcome).toBe('sent')
  })
})

describe('HTTP/2', () => {
  async function http2Client(handler: (req: Http2ServerRequest, res: Http2ServerResponse) => void) {
    const server = createHttp2Server((req, res) => void anyTasks(req, res, () => handler(req, res)))
    const session = connectHttp2(`http://127.0.0.1:${await listen(server)}`)
    session.on('error', () => {})
    onTestFinished(() => void session.destroy())
    return session
  }

  test('a response that is sent whole settles as sent', async () => {
    const { when, seen } = facts()
    const session = await http2Client((req, res) => {
      req.after(note, { text: 'h2' }, { when })
      res.statusCode = 202
      res.end('body')
    })
    const stream = session.request({ ':path': '/two?x=1' })
    stream.resume()
    await once(stream, 'end')
    expect(await seen).toEqual({
      statusCode: 202,
      outcome: 'sent',
      error: undefined,
      method: 'GET',
      url: '/two?x=1',
    })
  })

  test('a stream that the client resets before the end settles as aborted, once the handler has ended', async () => {
    const { when, seen } = facts()
    const added = handOver<Ran>()
    let ended = Number.POSITIVE_INFINITY
    const session = await http2Client(async (req, res) => {
      added.give(req.after(note, { text: 'reset' }, { when }))
      await once(res, 'close')
      await everythingElseRan(runtime)
      ended = nowOnAllThreads()
      res.end('nobody reads this')
    })
    const stream = session.request({ ':path': '/' })
    stream.on('error', () => {})
    const job = await added.job
    stream.close(constants.NGHTTP2_CANCEL)
    expect((await job.result()).started).toBeGreaterThan(ended)
    expect((await seen).outcome).toBe('aborted')
  })

  test('a stream that the client resets in the middle of a body that was ended settles as aborted', async () => {
    const { when, seen } = facts()
    const session = await http2Client((req, res) => {
      req.after(note, { text: 'reset in the body' }, { when })
      res.end(Buffer.alloc(10_000_000))
    })
    const stream = session.request({ ':path': '/' })
    stream.on('error', () => {})
    await once(stream, 'response')
    stream.close(constants.NGHTTP2_CANCEL)
    expect((await seen).outcome).toBe('aborted')
  })

  test('a stream that the server closes before end() settles as aborted', async () => {
    const { when, seen } = facts()
    const session = await http2Client((req, res) => {
      req.after(note, { text: 'closed' }, { when })
      res.stream.respond({ ':status': 200 })
      res.stream.close(constants.NGHTTP2_NO_ERROR)
      res.on('close', () => res.end())
    })
    session.request({ ':path': '/' }).on('error', () => {})
    expect((await seen).outcome).toBe('aborted')
  })

  test('every open response of a session that is destroyed settles as aborted', async () => {
    const seen: Promise<ResponseFacts>[] = []
    const arrived = Promise.withResolvers<void>()
    const session = await http2Client(async (req, res) => {
      const each = facts()
      req.after(note, { text: 'session' }, { when: each.when })
      if (seen.push(each.seen) === 2) arrived.resolve()
      await once(res, 'close')
    })
    for (const path of ['/1', '/2']) session.request({ ':path': path }).on('error', () => {})
    await arrived.promise
    session.destroy()
    expect((await Promise.all(seen)).map(({ outcome }) => outcome)).toEqual(['aborted', 'aborted'])
  })

  test('a Polka app on an HTTP/2 server settles its responses as well', async () => {
    const { when, seen } = facts()
    const server = createHttp2Server()
    const app = polka({ server: server as never })
      .use(tasks)
      .get('/', (req, res: ServerResponse) => {
        req.after(note, { text: 'polka over h2' }, { when })
        res.end('ok')
      })
    const session = connectHttp2(`http://127.0.0.1:${await listenPolka(app)}`)
    onTestFinished(() => void session.destroy())
    session.request({ ':path': '/' }).resume()
    expect((await seen).outcome).toBe('sent')
  })
})
