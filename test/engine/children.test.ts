import { expect, test } from 'vitest'
import { z } from 'zod'
import { type AnyTask, defineTask } from '../../src/index.ts'
import type { JobContext } from '../../src/rules/job-record.ts'
import { type LooseRuntime, startThreads } from '../kit/threads.ts'

const module = new URL('../fixtures/handlers/children.ts', import.meta.url)
const taskOf = (name: string, policy: object = {}): AnyTask =>
  defineTask({ name, payload: z.unknown(), handler: { module, export: name }, ...policy })
const tasks = [taskOf('parent'), taskOf('child', { pool: 'children' })]

function start(): LooseRuntime {
  return startThreads(tasks, { pools: { children: { threads: 1 } } })
}

/** Adds a job as a request does that has a context. */
function from(runtime: LooseRuntime, context: JobContext, task: string, payload: unknown) {
  const batch = runtime.openBatch({ order: 'sequential', onFailure: 'continue' }, context)
  const job = batch.add(task, payload)
  batch.settle({ statusCode: 200, outcome: 'sent', error: undefined, method: 'GET', url: '/' })
  return job
}

test('a job that a handler adds has the context of the request that added its parent', async () => {
  const runtime = start()
  runtime.pause('children')
  const context = { requestId: 'r1', traceparent: '00-1-2-01', baggage: { tenant: 'a' } }
  const id = await from(runtime, context, 'parent', { child: 'child' }).result()
  const ended = new Promise((resolve) => runtime.on('job:completed', resolve))
  runtime.resume()
  await ended
  expect((await runtime.job(String(id)))?.result).toEqual(context)
})

test('a handler that finds an equal job leaves the context of that one alone', async () => {
  const runtime = start()
  runtime.pause('children')
  const first = runtime.enqueue('child', 1, { unique: 'same' })
  const payload = { child: 'child', payload: 2, options: { unique: 'same' } }
  const id = await from(runtime, { requestId: 'r2' }, 'parent', payload).result()
  expect(id).toBe(first.id)
  runtime.resume()
  expect(await first.result()).toEqual({ requestId: undefined, traceparent: undefined, baggage: {} })
})
