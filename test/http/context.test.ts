import { AsyncLocalStorage } from 'node:async_hooks'
import { createServer } from 'node:http'
import { expect, onTestFinished, test } from 'vitest'
import { afterResponse } from '../../src/http/index.ts'
import { after as addJob, createRuntime, defineTask, type Job, NoRequestError } from '../../src/index.ts'
import { note } from '../fixtures/http-tasks.ts'
import { handOver, httpRuntime } from '../kit/jobs.ts'
import { get, listen } from '../kit/serve.ts'

const only = defineTask({
  name: 'only',
  handler: new URL('../fixtures/handlers/http-note.ts', import.meta.url),
})

test('after() outside of a request says what to do instead', () => {
  const runtime = httpRuntime({}, onTestFinished)
  afterResponse(runtime)
  expect(() => addJob(note, { text: 'x' })).toThrow(NoRequestError)
  expect(() => addJob('note', { text: 'x' })).toThrow(
    /after\("note"\).*outside of a request.*runtime\.enqueue\(\)/,
  )
  for (const wrong of [undefined, null, 7, () => {}]) {
    expect(() => addJob(wrong as never, undefined as never)).toThrow(
      expect.objectContaining({ code: 'ERR_NO_REQUEST' }),
    )
  }
  expect(runtime.stats().pending).toBe(0)
})

test('after() throws what req.after throws', async () => {
  const runtime = httpRuntime({}, onTestFinished)
  const tasks = afterResponse(runtime)
  const server = createServer((req, res) =>
    tasks(req, res, () => {
      try {
        addJob('noet' as never, undefined as never)
      } catch (error) {
        res.end((error as Error).name)
      }
    }),
  )
  expect(await (await get(await listen(server))).text()).toBe('UnknownTaskError')
})

test('after() within a request uses the runtime of the innermost middleware', async () => {
  const [outer, inner] = [httpRuntime({}, onTestFinished), httpRuntime({}, onTestFinished)]
  const [outerTasks, innerTasks] = [afterResponse(outer), afterResponse(inner)]
  const added = handOver()
  const server = createServer((req, res) =>
    outerTasks(req, res, () =>
      innerTasks(req, res, () => {
        added.give(addJob(note, { text: 'inner' }))
        res.end()
      }),
    ),
  )
  await get(await listen(server))
  await (await added.job).settled
  expect([outer.stats().completed, inner.stats().completed]).toEqual([0, 1])
})

test('after() behind a middleware that has returned is outside of the request, and other stores are as they were', async () => {
  const runtime = httpRuntime({}, onTestFinished)
  const tasks = afterResponse(runtime)
  const other = new AsyncLocalStorage<string>()
  const seen: unknown[] = []
  const server = createServer((req, res) => {
    other.run('theirs', () => {
      tasks(req, res, () => {
        seen.push(other.getStore(), addJob(note, { text: 'inside' }).state)
        other.enterWith('changed within')
      })
      seen.push(other.getStore())
      try {
        addJob(note, { text: 'outside' })
      } catch (error) {
        seen.push((error as NoRequestError).code)
      }
    })
    res.end()
  })
  await get(await listen(server))
  expect(seen).toEqual(['theirs', 'held', 'theirs', 'ERR_NO_REQUEST'])
})

test('req.after and after() find the runtime of the request that has the task, when the innermost has not', async () => {
  const [outer, inner] = [
    httpRuntime({}, onTestFinished),
    createRuntime({ tasks: [only], pool: { threads: 1 } }),
  ]
  onTestFinished(async () => void (await inner.stop({ timeout: 0 })))
  const [outerTasks, innerTasks] = [afterResponse(outer), afterResponse(inner)]
  const jobs: Job[] = []
  const server = createServer((req, res) =>
    outerTasks(req, res, () =>
      innerTasks(req, res, () => {
        jobs.push(
          req.after(only),
          req.after(note, { text: 'of the outer' }),
          addJob('note', { text: 'by name' }),
        )
        expect(() => req.after('nowhere' as never, undefined as never)).toThrow('No task is named "nowhere"')
        res.end(jobs.map((job) => job.state).join())
      }),
    ),
  )
  expect(await (await get(await listen(server))).text()).toBe('held,held,held')
  for (const job of jobs) expect((await job.settled).state).toBe('completed')
  expect([outer.stats().completed, inner.stats().completed]).toEqual([2, 1])
})
