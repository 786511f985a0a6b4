import { AsyncLocalStorage } from 'node:async_hooks'
import { createServer } from 'node:http'
import { expect, onTestFinished, test } from 'vitest'
import { afterResponse } from '../../src/http/index.ts'
import { after as addJob, NoRuntimeError, UnknownTaskError } from '../../src/index.ts'
import { note } from '../fixtures/http-tasks.ts'
import { handOver, httpRuntime } from '../kit/jobs.ts'
import { get, listen } from '../kit/serve.ts'

test('after() outside of a request says what to do when there is no runtime', () => {
  const unused = httpRuntime({}, onTestFinished)
  expect(() => addJob(note, { text: 'x' })).toThrow(NoRuntimeError)
  expect(() => addJob('note', { text: 'x' })).toThrow(/"note".*runtime\.enqueue\(\)/)
  expect(unused.stats().pending).toBe(0)
})

test('after() outside of a request uses the runtime that was last given to afterResponse', async () => {
  const [first, second] = [httpRuntime({}, onTestFinished), httpRuntime({}, onTestFinished)]
  afterResponse(first)
  afterResponse(second)
  await addJob(note, { text: 'to the second' }).settled
  afterResponse(first)
  await addJob(note, { text: 'to the first' }).settled
  expect([first.stats().completed, second.stats().completed]).toEqual([1, 1])
})

test('after() outside of a request passes over a runtime that has stopped', async () => {
  const [first, second] = [httpRuntime({}, onTestFinished), httpRuntime({}, onTestFinished)]
  afterResponse(first)
  afterResponse(second)
  await second.stop()
  await addJob(note, { text: 'to the first' }).settled
  expect(first.stats().completed).toBe(1)
})

test('after() throws what req.after throws', () => {
  const runtime = httpRuntime({}, onTestFinished)
  afterResponse(runtime)
  expect(() => addJob('noet', {})).toThrow(UnknownTaskError)
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
      seen.push(other.getStore(), addJob(note, { text: 'outside' }).state)
    })
    res.end()
  })
  await get(await listen(server))
  expect(seen).toEqual(['theirs', 'held', 'theirs', 'available'])
})
