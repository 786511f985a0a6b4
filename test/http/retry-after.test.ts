/** The header that tells a client of a full queue when to come again. */
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import { connect as connectHttp2, createServer as createHttp2Server } from 'node:http2'
import express from 'express'
import polka from 'polka'
import polka05 from 'polka-05'
import { expect, onTestFinished, test } from 'vitest'
import { afterResponse as afterAnyResponse, failed } from '../../src/http/index.ts'
import { afterResponse as afterPolkaResponse } from '../../src/http/polka.ts'
import type { QueueFullError } from '../../src/index.ts'
import { note } from '../fixtures/http-tasks.ts'
import { httpRuntime } from '../kit/jobs.ts'
import { get, listen, listenPolka } from '../kit/serve.ts'

const runtime = httpRuntime({ maxPending: 1 })
// It never runs, so the queue is full.
runtime.pause()
runtime.enqueue(note, { text: 'in the way' })
const tasks = afterAnyResponse(runtime)
const polkaTasks = afterPolkaResponse(runtime)

type Handle = (req: IncomingMessage, res: ServerResponse) => void
const add: Handle = (req, res) => {
  req.after(note, { text: 'refused' })
  res.end('accepted')
}

const plain = (answer: (error: QueueFullError, res: ServerResponse) => void): Promise<number> =>
  listen(
    createServer((req, res) => {
      tasks(req, res)
      try {
        add(req, res)
      } catch (error) {
        answer(error as QueueFullError, res)
      }
    }),
  )

test.each<[string, () => Promise<number>]>([
  ['Polka', () => listenPolka(polka().use(polkaTasks).get('/', add))],
  [
    'Polka, by an async handler',
    () =>
      listenPolka(
        polka()
          .use(polkaTasks)
          .get('/', async (req, res) => add(req, res)),
      ),
  ],
  ['Polka 0.5', () => listenPolka(polka05().use(polkaTasks).get('/', add))],
  [
    'Polka 0.5, by an async handler',
    () =>
      listenPolka(
        polka05()
          .use(polkaTasks)
          .get('/', async (req, res) => void add(req, res)),
      ),
  ],
  ['Express', () => listen(createServer(express().use(tasks).get('/', add) as RequestListener))],
  [
    'Express with onError',
    () => listen(createServer(express().use(tasks).get('/', add).use(tasks.onError()) as RequestListener)),
  ],
  [
    'node:http, with an implicit head',
    () =>
      plain((error, res) => {
        res.statusCode = error.status ?? 500
        res.end(error.message)
      }),
  ],
  [
    'node:http, with writeHead',
    () => plain((_error, res) => void res.writeHead(503, { 'x-other': '1' }).end()),
  ],
  [
    'node:http, through failed()',
    () =>
      plain((error, res) => {
        failed(res, error)
        res.writeHead(503, 'Busy').end()
      }),
  ],
])('a full queue is answered with 503 and Retry-After by %s', async (_who, start) => {
  const response = await get(await start())
  expect([response.status, response.headers.get('retry-after')]).toEqual([
    503,
    expect.stringMatching(/^[1-9]\d*$/),
  ])
})

test.each([
  ['a body', 'busy'],
  ['no body', undefined],
])('a full queue is answered with Retry-After over HTTP/2, with %s', async (_what, body) => {
  const server = createHttp2Server((req, res) => {
    tasks(req, res)
    try {
      req.after(note, { text: 'refused' })
    } catch {
      res.statusCode = 503
      if (body === undefined) res.end()
      else res.end(body)
    }
  })
  const session = connectHttp2(`http://127.0.0.1:${await listen(server)}`)
  onTestFinished(() => void session.destroy())
  const stream = session.request({ ':path': '/' }).resume()
  const headers = await new Promise<Record<string, unknown>>((resolve) => stream.once('response', resolve))
  expect([headers[':status'], headers['retry-after']]).toEqual([503, expect.stringMatching(/^\d+$/)])
})

test('a header that was set by hand stays', async () => {
  const port = await plain((_error, res) => void res.setHeader('Retry-After', '99').writeHead(503).end())
  expect((await get(port)).headers.get('retry-after')).toBe('99')
  const explicit = await plain((_error, res) => void res.writeHead(503, { 'Retry-After': '98' }).end())
  expect((await get(explicit)).headers.get('retry-after')).toBe('98')
})

test('an answer of another kind has no Retry-After', async () => {
  const port = await plain((_error, res) => void res.end('without the job'))
  const response = await get(port)
  expect([response.status, response.headers.get('retry-after')]).toEqual([200, null])
})

test('a request that tryAfter told of a full queue has no header that it did not ask for', async () => {
  const server = createServer((req, res) => {
    tasks(req, res)
    res.writeHead(req.tryAfter(note, { text: 'x' }) === null ? 503 : 200).end()
  })
  const response = await get(await listen(server))
  expect([response.status, response.headers.get('retry-after')]).toEqual([503, null])
})

const small = httpRuntime({ maxPayloadBytes: 50 })
const sendsMuch: Handle = (req, res) => {
  req.after(note, { text: 'x'.repeat(50) })
  res.end('accepted')
}

test.each<[string, () => Promise<number>]>([
  ['Polka', () => listenPolka(polka().use(afterPolkaResponse(small)).get('/', sendsMuch))],
  ['Polka 0.5', () => listenPolka(polka05().use(afterPolkaResponse(small)).get('/', sendsMuch))],
  [
    'Express',
    () => listen(createServer(express().use(afterAnyResponse(small)).get('/', sendsMuch) as RequestListener)),
  ],
])(
  'a payload that is too large is answered with 413 by %s, with nothing to try again',
  async (_who, start) => {
    const response = await get(await start())
    expect([response.status, response.headers.get('retry-after')]).toEqual([413, null])
    expect(small.stats()).toMatchObject({ pending: 0, pendingBytes: 0 })
  },
)
