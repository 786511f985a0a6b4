import { once } from 'node:events'
import { createServer, IncomingMessage, ServerResponse } from 'node:http'
import { connect as connectHttp2, createServer as createHttp2Server } from 'node:http2'
import { Socket } from 'node:net'
import { PassThrough } from 'node:stream'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type Outcome, ResponseWatch } from '../../src/http/response-end.ts'
import { get, getBytes, listen, rawClient } from '../kit/serve.ts'

/** Collects what it is told. */
class Listening extends ResponseWatch {
  readonly told: Outcome[] = []
  readonly #first = Promise.withResolvers<Outcome>()

  get first(): Promise<Outcome> {
    return this.#first.promise
  }

  override ended(outcome: Outcome): void {
    this.told.push(outcome)
    this.#first.resolve(outcome)
  }
}

describe('a response that has no connection', () => {
  test.each([
    ['a request without a socket', () => new IncomingMessage(undefined as never)],
    ['a socket that was never connected', () => new IncomingMessage(new Socket())],
  ])('says at once that it was aborted, since no event will ever come: %s', (_what, request) => {
    const req = request()
    expect(new Listening(req, new ServerResponse(req)).watch()).toBe('aborted')
  })

  test('waits for its turn, when it only has none yet on a pipelined connection', async () => {
    const outcomes: (Outcome | null)[] = []
    const responses: ServerResponse[] = []
    const both = Promise.withResolvers<void>()
    const server = createServer((req, res) => {
      outcomes.push(new Listening(req, res).watch())
      responses.push(res)
      if (responses.length === 2) both.resolve()
    })
    const client = await rawClient(await listen(server))
    client.send(getBytes('/') + getBytes('/'))
    await both.promise
    expect(outcomes).toEqual([null, null])
    for (const res of responses) res.end()
  })
})

describe('a response that was over before it was watched', () => {
  test('says at once that it was sent', async () => {
    const outcome = Promise.withResolvers<Outcome | null>()
    const server = createServer((req, res) => {
      res.on('close', () => outcome.resolve(new Listening(req, res).watch()))
      res.end('body')
    })
    await get(await listen(server))
    expect(await outcome.promise).toBe('sent')
  })

  test('says at once that it was aborted, also when end() was called since', async () => {
    const outcomes = Promise.withResolvers<(Outcome | null)[]>()
    const server = createServer((req, res) => {
      res.on('close', () => {
        const before = new Listening(req, res).watch()
        res.end('nobody reads this')
        outcomes.resolve([before, new Listening(req, res).watch()])
      })
    })
    const client = await rawClient(await listen(server))
    const arrived = once(server, 'request')
    client.send(getBytes('/'))
    await arrived
    client.leave()
    expect(await outcomes.promise).toEqual(['aborted', 'aborted'])
  })

  test('says at once how it ended over HTTP/2', async () => {
    const outcome = Promise.withResolvers<Outcome | null>()
    const server = createHttp2Server((req, res) => {
      res.on('close', () => outcome.resolve(new Listening(req, res).watch()))
      res.end('body')
    })
    const session = connectHttp2(`http://127.0.0.1:${await listen(server)}`)
    onTestFinished(() => void session.destroy())
    session.request({ ':path': '/' }).resume()
    expect(await outcome.promise).toBe('sent')
  })
})

describe('a response without a connection of its own', () => {
  function injected(): { req: IncomingMessage; res: ServerResponse; sink: PassThrough } {
    const sink = new PassThrough()
    sink.resume()
    // As light-my-request does it: what the response writes goes anywhere but to a socket.
    const req = new IncomingMessage(sink as unknown as Socket)
    const res = new ServerResponse(req)
    res.assignSocket(sink as unknown as Socket)
    return { req, res, sink }
  }

  test('settles as sent once it is finished', async () => {
    const { req, res } = injected()
    const end = new Listening(req, res)
    expect(end.watch()).toBeNull()
    res.end('body')
    expect(await end.first).toBe('sent')
  })

  test('settles as aborted when it is closed before', async () => {
    const { req, res } = injected()
    const end = new Listening(req, res)
    expect(end.watch()).toBeNull()
    res.emit('close')
    expect(await end.first).toBe('aborted')
  })

  test('settles once', async () => {
    const { req, res } = injected()
    const end = new Listening(req, res)
    end.watch()
    res.end('body')
    await end.first
    res.emit('close')
    expect(end.told).toEqual(['sent'])
    expect([res.listenerCount('finish'), res.listenerCount('close')]).toEqual([0, 0])
  })
})
