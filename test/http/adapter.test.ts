/** The seam that adapters of frameworks stand on, through a small framework in which handlers return their response. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { expect, test } from 'vitest'
import { openRequest } from '../../src/http/adapter.ts'
import { after as addJob, type Job, type OptionsInvalidError } from '../../src/index.ts'
import { note } from '../fixtures/http-tasks.ts'
import { handOver, httpRuntime } from '../kit/jobs.ts'
import { get, getBytes, listen, rawClient } from '../kit/serve.ts'

const runtime = httpRuntime()

interface Answer {
  readonly status: number
  readonly body?: string
}
type Handler = (context: { readonly after: IncomingMessage['after'] }) => Answer | Promise<Answer>

/** The framework, with its adapter in it: errors become answers, and the status reaches the response last. */
function serve(handler: Handler, answered: () => Promise<void> = async () => {}): Server {
  return createServer((req: IncomingMessage, res: ServerResponse) => {
    const request = openRequest(runtime, req, res)
    const handle = async (): Promise<void> => {
      let answer: Answer
      try {
        answer = await handler({ after: request.after })
      } catch (error) {
        request.fail(error)
        answer = { status: 400, body: (error as Error).message }
      }
      request.status(answer.status)
      await answered()
      res.writeHead(answer.status).end(answer.body)
    }
    request.follow(request.run(handle))
  })
}

test('an adapter hands out after, which holds a job until the response is over', async () => {
  const added = handOver()
  const server = serve(({ after }) => {
    const job = after(note, { text: 'from a context' })
    added.give(job)
    return { status: 200, body: job.state }
  })
  expect(await (await get(await listen(server))).text()).toBe('held')
  expect((await (await added.job).settled).state).toBe('completed')
})

test('an adapter runs the handler so that after() finds the request', async () => {
  const added = handOver()
  const server = serve(async () => {
    await new Promise(setImmediate)
    added.give(addJob(note, { text: 'no request at hand' }))
    return { status: 500 }
  })
  expect((await get(await listen(server))).status).toBe(500)
  expect((await (await added.job).settled).state).toBe('skipped')
})

test('an error that an adapter tells of makes the request fail, whatever the status', async () => {
  const added = handOver()
  const server = serve(({ after }) => {
    added.give(after(note, { text: 'never' }))
    throw new Error('told')
  })
  expect((await get(await listen(server))).status).toBe(400)
  expect((await (await added.job).settled).state).toBe('skipped')
})

test.each([
  [200, 'completed'],
  [503, 'skipped'],
])(
  'a status of %i that is told in time counts when the client leaves before it is written',
  async (status, state) => {
    const added = handOver()
    const [told, left] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const statuses: number[] = []
    const server = serve(
      ({ after }) => {
        added.give(
          after(
            note,
            { text: 'late status' },
            {
              when: ({ statusCode, outcome }) => {
                statuses.push(statusCode)
                return outcome === 'aborted' && statusCode < 500
              },
            },
          ),
        )
        return { status }
      },
      async () => {
        told.resolve()
        await left.promise
      },
    )
    server.on('request', (_req, res) => res.on('close', left.resolve))
    const client = await rawClient(await listen(server))
    client.send(getBytes('/'))
    await told.promise
    client.leave()
    expect((await (await added.job).settled).state).toBe(state)
    expect(statuses).toEqual([status])
  },
)

test('the status that was written counts, not one that was told', async () => {
  const added = handOver()
  const server = createServer((req, res) => {
    const request = openRequest(runtime, req, res)
    request.status(500)
    added.give(request.after(note, { text: 'written' }))
    res.writeHead(200).end()
  })
  await get(await listen(server))
  expect((await (await added.job).settled).state).toBe('completed')
})

test('a handler that an adapter follows is waited for when the client leaves', async () => {
  const added = handOver()
  const [gone, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const server = serve(async ({ after }) => {
    added.give(after(note, { text: 'patient' }))
    await goOn.promise
    return { status: 200 }
  })
  server.on('request', (_req, res) => res.on('close', gone.resolve))
  const client = await rawClient(await listen(server))
  client.send(getBytes('/'))
  const job = await added.job
  client.leave()
  await gone.promise
  expect(job.state).toBe('held')
  goOn.resolve()
  expect((await job.settled).state).toBe('completed')
})

test('opening a request again joins the same batch', async () => {
  const jobs: Job[] = []
  const server = createServer((req, res) => {
    const [first, second] = [
      openRequest(runtime, req, res),
      openRequest(runtime, req, res, { order: 'parallel' }),
    ]
    expect(second).toBe(first)
    jobs.push(first.after(note, { text: 'one' }), second.after(note, { text: 'two' }))
    res.end()
  })
  await get(await listen(server))
  await Promise.all(jobs.map((job) => job.settled))
  expect(jobs.map((job) => job.state)).toEqual(['completed', 'completed'])
})

test('wrong arguments of openRequest are refused by name', async () => {
  const server = createServer((req, res) => {
    const faults = [
      () => openRequest(undefined as never, req, res),
      () => openRequest(runtime, req, undefined as never),
      () => openRequest(runtime, req, res, { ordr: 'parallel' } as never),
      () => openRequest(runtime, req, res, null as never),
    ].map((call) => {
      try {
        call()
        return 'taken'
      } catch (error) {
        return `${(error as OptionsInvalidError).code}: ${(error as Error).message}`
      }
    })
    res.end(JSON.stringify(faults))
  })
  const faults = JSON.parse(await (await get(await listen(server))).text()) as string[]
  expect(faults).toEqual([
    expect.stringContaining('ERR_OPTIONS_INVALID: openRequest: the runtime is undefined'),
    expect.stringContaining('ERR_OPTIONS_INVALID: '),
    expect.stringContaining('Did you mean "order"?'),
    expect.stringContaining('ERR_OPTIONS_INVALID: openRequest: '),
  ])
})

test.each([
  ['run', undefined, 'openRequest().run: the argument next'],
  ['status', '200', 'openRequest().status: the argument code'],
  ['status', 42, 'openRequest().status: the argument code'],
  ['follow', {}, 'openRequest().follow: the argument handler'],
] as const)('%s of an open request refuses %j by name', async (member, argument, message) => {
  const server = createServer((req, res) => {
    const request = openRequest(runtime, req, res)
    try {
      ;(request[member] as (argument: unknown) => unknown)(argument)
      res.end('taken')
    } catch (error) {
      res.end(`${(error as OptionsInvalidError).code} ${(error as Error).message}`)
    }
  })
  expect(await (await get(await listen(server))).text()).toContain(`ERR_OPTIONS_INVALID ${message}`)
})
