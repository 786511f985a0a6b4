/** What every face is asked. */
import { Readable } from 'node:stream'
import { setImmediate } from 'node:timers/promises'
import { expect, onTestFinished } from 'vitest'
import { z } from 'zod'
import {
  after as afterOfContext,
  createRuntime,
  defineTask,
  type Job,
  type ResponseFacts,
} from '../../../src/index.ts'
import { everythingElseRan, gate, httpRuntime, nextEvent } from '../../kit/jobs.ts'
import { get, getBytes, type RawClient, rawClient } from '../../kit/serve.ts'
import type { Add, Answer, Face, FaceRuntime, Route, Serving, Turn } from './face.ts'

/** One promise of the response. */
export interface Case {
  /** A sentence about a job, a request or a response; the matrix shows it. */
  readonly promise: string
  /** What faces promise instead that cannot keep this, by their names. */
  readonly instead?: Readonly<Record<string, Pick<Case, 'promise' | 'run'>>>
  run(face: Face, runtime: FaceRuntime): Promise<void>
}

const another = defineTask({
  name: 'another',
  payload: z.object({ text: z.string() }),
  handler: new URL('../../fixtures/handlers/http-note.ts', import.meta.url),
})

/** What is promised where nothing tells when a handler has ended. */
const afterGrace: Pick<Case, 'promise' | 'run'> = {
  promise: 'a job runs once `handlerGrace` is over when the client leaves in the middle of a stream',
  run: (face) => leavesInStream(face, httpRuntime({ handlerGrace: 1, pool: { threads: 1 } }, onTestFinished)),
}

/** What a `when` was decided on, and the job that it was decided for. */
interface Decided {
  readonly facts: ResponseFacts
  readonly job: Job
}

/** Adds a job whose facts are looked at; it runs whatever they are. */
function watched(): { add: (after: Add) => Job; decided: Promise<Decided> } {
  const { promise, resolve } = Promise.withResolvers<Decided>()
  return {
    add: (after) => {
      const when = (facts: ResponseFacts): boolean => {
        resolve({ facts, job })
        return true
      }
      const job: Job = after('note', { text: 'watched' }, { when })
      return job
    },
    decided: promise,
  }
}

/** A route that adds a job with this payload, and leaves what that throws to the framework. */
function adding(payload: unknown): Route {
  return ({ after }) => {
    after('note', payload)
    return {}
  }
}

/** Serves a route that adds one watched job, asks once, and resolves to what was decided and answered. */
async function once(
  face: Face,
  runtime: FaceRuntime,
  route: (turn: Turn) => ReturnType<Route>,
  more: Partial<Serving> = {},
): Promise<Decided & { status: number; text: string; headers: Headers }> {
  const { add, decided } = watched()
  const port = await face.serve({
    runtime,
    route: (turn) => {
      add(turn.after)
      return route(turn)
    },
    ...more,
  })
  const response = await get(port)
  const text = await response.text()
  return { ...(await decided), status: response.status, text, headers: response.headers }
}

/** Serves a route under control, whose client leaves while the handler is at work. */
async function leftAlone(
  face: Face,
  runtime: FaceRuntime,
  goOn: (turn: Turn) => ReturnType<Route>,
): Promise<{ job: Job; proceed: () => void; facts: Promise<ResponseFacts> }> {
  const reached = Promise.withResolvers<Job>()
  const proceeded = Promise.withResolvers<void>()
  const gone = Promise.withResolvers<void>()
  const { add, decided } = watched()
  const port = await face.serve({
    runtime,
    route: async (turn) => {
      turn.res.on('close', () => gone.resolve())
      reached.resolve(add(turn.after))
      await proceeded.promise
      return goOn(turn)
    },
  })
  const client = await rawClient(port)
  client.send(getBytes('/'))
  const job = await reached.promise
  client.leave()
  await gone.promise
  return { job, proceed: proceeded.resolve, facts: decided.then(({ facts }) => facts) }
}

/** Serves a stream whose first part the client has, with a watched job behind it. */
async function midStream(
  face: Face,
  runtime: FaceRuntime,
): Promise<{ body: Readable; client: RawClient; job: Promise<Job>; decided: Promise<Decided> }> {
  const added = Promise.withResolvers<Job>()
  const { add, decided } = watched()
  const body = new Readable({ read: () => {} })
  const port = await face.serve({
    runtime,
    route: ({ after }) => {
      added.resolve(add(after))
      body.push('first ')
      return { body }
    },
  })
  const client = await rawClient(port)
  client.send(getBytes('/'))
  await client.received('first')
  return { body, client, job: added.promise, decided }
}

async function leavesInStream(face: Face, runtime: FaceRuntime): Promise<void> {
  const { client, decided } = await midStream(face, runtime)
  client.leave()
  await wasAborted(decided)
}

async function wasAborted(decided: Promise<Decided>): Promise<void> {
  const { facts, job } = await decided
  expect(facts.outcome).toBe('aborted')
  expect((await job.settled).state).toBe('completed')
}

export const cases: readonly Case[] = [
  {
    promise: 'a job starts once its response has been sent, with the status that was sent',
    async run(face, runtime) {
      const { facts, job, status } = await once(face, runtime, () => ({ status: 201 }))
      expect(status).toBe(201)
      expect(facts).toMatchObject({
        statusCode: 201,
        outcome: 'sent',
        error: undefined,
        method: 'GET',
        url: '/',
      })
      expect((await job.settled).state).toBe('completed')
    },
  },
  {
    promise: 'a job is held while the handler is at work',
    async run(face, runtime) {
      const added = Promise.withResolvers<Job>()
      const proceeded = Promise.withResolvers<void>()
      const port = await face.serve({
        runtime,
        route: async ({ after }) => {
          added.resolve(after('note', { text: 'held' }))
          await proceeded.promise
          return {}
        },
      })
      const response = get(port)
      const job = await added.promise
      await everythingElseRan(runtime)
      expect(job.state).toBe('held')
      proceeded.resolve()
      await (await response).text()
      expect((await job.settled).state).toBe('completed')
    },
  },
  {
    promise: 'a job is held while a stream is being sent',
    async run(face, runtime) {
      const { body, job: added } = await midStream(face, runtime)
      const job = await added
      await everythingElseRan(runtime)
      expect(job.state).toBe('held')
      body.push('last')
      body.push(null)
      expect((await job.settled).state).toBe('completed')
    },
  },
  {
    promise: 'a response whose stream breaks was aborted',
    async run(face, runtime) {
      const { body, decided } = await midStream(face, runtime)
      body.destroy(new Error('the disk is gone'))
      await wasAborted(decided)
    },
  },
  {
    promise: 'an answer with a status of 500 and above means that the request has failed',
    async run(face, runtime) {
      const jobs: Job[] = []
      const { facts } = await once(face, runtime, ({ after }) => {
        jobs.push(after('note', { text: 'ok' }), after('note', { text: 'error' }, { when: 'error' }))
        return { status: 503 }
      })
      expect(facts).toMatchObject({ statusCode: 503, outcome: 'sent' })
      expect(await Promise.all(jobs.map(async (job) => (await job.settled).state))).toEqual([
        'skipped',
        'completed',
      ])
    },
  },
  {
    promise: 'what a handler throws is noticed',
    async run(face, runtime) {
      const error = new Error('thrown by the handler')
      const { facts, status } = await once(face, runtime, () => {
        throw error
      })
      expect(status).toBe(500)
      expect(facts.error).toBe(error)
      expect(facts).toMatchObject({ statusCode: 500, outcome: 'sent' })
    },
  },
  {
    promise: 'what a handler rejects with is noticed, though it is answered with a status of its own',
    async run(face, runtime) {
      const error = face.failure(418)
      const jobs: Job[] = []
      const { facts, status } = await once(face, runtime, async ({ after }) => {
        jobs.push(after('note', { text: 'ok' }), after('note', { text: 'error' }, { when: 'error' }))
        await setImmediate()
        throw error
      })
      expect(status).toBe(418)
      expect(facts.error).toBe(error)
      expect(facts.statusCode).toBe(418)
      expect(await Promise.all(jobs.map(async (job) => (await job.settled).state))).toEqual([
        'skipped',
        'completed',
      ])
    },
  },
  {
    promise: 'an answer with a status of 404 is no failure',
    async run(face, runtime) {
      const { facts, job } = await once(face, runtime, () => ({ status: 404 }))
      expect(facts).toMatchObject({ statusCode: 404, error: undefined })
      expect((await job.settled).state).toBe('completed')
    },
  },
  {
    promise: 'a route that is not there is no failure',
    async run(face, runtime) {
      const added = Promise.withResolvers<Job>()
      const { add, decided } = watched()
      const port = await face.serve({
        runtime,
        route: () => ({}),
        everywhere: ({ after }) => {
          add(after)
          added.resolve(after('note', { text: 'every route' }))
        },
      })
      expect((await get(port, '/nowhere')).status).toBe(404)
      const { facts } = await decided
      expect(facts).toMatchObject({ statusCode: 404, error: undefined, outcome: 'sent', url: '/nowhere' })
      expect((await (await added.promise).settled).state).toBe('completed')
    },
  },
  {
    promise: 'a job does not overtake its handler when the client leaves, and sees the status that was meant',
    async run(face, runtime) {
      const { job, proceed, facts } = await leftAlone(face, runtime, () => ({ status: 202 }))
      await everythingElseRan(runtime)
      expect(job.state).toBe('held')
      proceed()
      expect(await facts).toMatchObject({ outcome: 'aborted', statusCode: 202, error: undefined })
      expect((await job.settled).state).toBe('completed')
    },
  },
  {
    promise: 'what a handler throws after its client has left is noticed',
    async run(face, runtime) {
      const error = face.failure(409)
      const { job, proceed, facts } = await leftAlone(face, runtime, () => {
        throw error
      })
      proceed()
      expect(await facts).toMatchObject({ outcome: 'aborted', error })
      expect((await job.settled).state).toBe('completed')
    },
  },
  {
    promise: 'a job runs at once when the client leaves in the middle of a stream',
    instead: { 'Polka 0.5': afterGrace, 'node:http': afterGrace, 'Express 5': afterGrace },
    run: leavesInStream,
  },
  {
    promise: 'after() from aftertask finds the request, also behind an await',
    async run(face, runtime) {
      const jobs: Job[] = []
      await once(face, runtime, async () => {
        jobs.push((afterOfContext as unknown as Add)('note', { text: 'at once' }))
        await setImmediate()
        jobs.push((afterOfContext as unknown as Add)('note', { text: 'later' }))
        return {}
      })
      expect(await Promise.all(jobs.map(async (job) => (await job.settled).state))).toEqual([
        'completed',
        'completed',
      ])
    },
  },
  {
    promise: 'the adapter used twice opens one batch, whose jobs run in order',
    async run(face, runtime) {
      const { channel, open } = gate()
      const waits = nextEvent(runtime, 'job:progress')
      const jobs: Job[] = []
      const route = ({ after }: Turn): Answer => {
        jobs.push(after('gated', { channel }), (afterOfContext as unknown as Add)('note', { text: 'behind' }))
        return {}
      }
      await get(await face.serve({ runtime, route, more: [runtime] }))
      await waits
      const [first, second] = jobs
      expect([first?.state, second?.state]).toEqual(['running', 'waiting'])
      open()
      expect((await second?.settled)?.state).toBe('completed')
    },
  },
  {
    promise: 'two runtimes on one app each get the jobs of their own tasks',
    async run(face, runtime) {
      const other = createRuntime({ tasks: [another], pool: { threads: 1 }, log: false })
      onTestFinished(async () => {
        await other.stop({ timeout: 0 })
      })
      const jobs: Job[] = []
      const route = ({ after }: Turn): Answer => {
        jobs.push(after('another', { text: 'of the other' }), after('note', { text: 'of the first' }))
        return {}
      }
      await get(await face.serve({ runtime, route, more: [other as unknown as FaceRuntime] }))
      const [ofOther, ofFirst] = await Promise.all(jobs.map((job) => job.settled.then(() => job.id)))
      expect(await other.job(ofOther as string)).toBeDefined()
      expect(await runtime.job(ofFirst as string)).toBeDefined()
      expect(await runtime.job(ofOther as string)).toBeUndefined()
    },
  },
  {
    promise: 'a payload that is refused is answered with 400',
    async run(face, runtime) {
      const port = await face.serve({ runtime, route: adding({ text: 17 }) })
      expect((await get(port)).status).toBe(400)
    },
  },
  {
    promise: 'a full queue is answered with 503 and Retry-After',
    async run(face) {
      const full = httpRuntime({ maxPending: 1 }, onTestFinished)
      const { channel } = gate()
      full.enqueue('gated', { channel })
      const port = await face.serve({
        runtime: full,
        route: adding({ text: 'x' }),
      })
      const response = await get(port)
      expect(response.status).toBe(503)
      expect(response.headers.get('retry-after')).toMatch(/^\d+$/)
    },
  },
  {
    promise: 'a connection that is kept alive is free for its next request, each with a batch of its own',
    async run(face, runtime) {
      const added: Promise<string>[] = []
      const route = ({ after, res }: Turn): Answer => {
        const job = after('note', { text: 'kept alive' })
        added.push(job.settled.then(({ state }) => state))
        return { body: `answer-${added.length}`, status: res.statusCode }
      }
      const client = await rawClient(
        await face.serve({ runtime, route: (turn) => ({ ...route(turn), status: 200 }) }),
      )
      for (const turn of [1, 2, 3]) {
        client.send(getBytes('/'))
        await client.received(`answer-${turn}`)
      }
      expect(await Promise.all(added)).toEqual(['completed', 'completed', 'completed'])
    },
  },
  {
    promise: 'answers without a body end as others do: HEAD, 204 and 304',
    async run(face, runtime) {
      for (const [method, status] of [
        ['HEAD', 200],
        ['GET', 204],
        ['GET', 304],
      ] as const) {
        const { add, decided } = watched()
        const route = ({ after }: Turn): Answer => {
          add(after)
          return { status }
        }
        const port = await face.serve({ runtime, route })
        expect((await get(port, '/', { method })).status).toBe(status)
        expect((await decided).facts).toMatchObject({ statusCode: status, outcome: 'sent', error: undefined })
      }
    },
  },
  {
    promise: 'a handler may write to the response of Node by itself',
    async run(face, runtime) {
      const { facts, status, text } = await once(face, runtime, ({ res }) => {
        res.writeHead(202).end('by hand')
        return { isSent: true }
      })
      expect([status, text]).toEqual([202, 'by hand'])
      expect(facts).toMatchObject({ statusCode: 202, outcome: 'sent', error: undefined })
    },
  },
  {
    promise: 'a job that is added after the response is over runs at once',
    async run(face, runtime) {
      const added = Promise.withResolvers<Job>()
      const port = await face.serve({
        runtime,
        route: ({ after, res }) => {
          res.on('close', () => setImmediate().then(() => added.resolve(after('note', { text: 'late' }))))
          return {}
        },
      })
      const client = await rawClient(port)
      client.send('GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n')
      expect((await (await added.promise).settled).state).toBe('completed')
    },
  },
]
