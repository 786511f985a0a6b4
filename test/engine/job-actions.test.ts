import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { memoryBroker } from '../../src/brokers/memory.ts'
import { sqliteBroker } from '../../src/brokers/sqlite.ts'
import { defineTask } from '../../src/rules/task.ts'
import { OptionsInvalidError, PayloadInvalidError, PayloadNotKeptError } from '../../src/words/errors.ts'
import { nextEvent } from '../kit/jobs.ts'
import { gateTasks, MemoryGate } from '../kit/memory-gate.ts'
import { tempFolder } from '../kit/temp-folder.ts'
import { isoTaskAs, startThreads } from '../kit/threads.ts'

const folder = tempFolder('job-actions')
const sizes = new URL('../fixtures/handlers/sizes.ts', import.meta.url)
const handler = { module: sizes, export: 'echo' }
const payload = z.object({ to: z.string() })

const tasks = [
  defineTask({ name: 'mail', payload, handler }),
  // What the schema makes of a payload is no payload for it.
  defineTask({ name: 'number', payload: z.string().transform(Number), handler }),
  defineTask({ name: 'keyed', payload, key: ({ to }) => to, handler }),
  defineTask({ name: 'once', payload, unique: true, handler }),
  defineTask({ name: 'bare', handler }),
  ...Object.values(gateTasks),
]

const HOUR = 3_600_000
const brokers = {
  memory: memoryBroker,
  sqlite: () => sqliteBroker({ file: folder.newFile(), durability: 'process' }),
}

/** A runtime that starts nothing yet. */
function paused(broker: keyof typeof brokers) {
  const runtime = startThreads(tasks, { broker: brokers[broker]() })
  runtime.pause()
  return runtime
}

describe.each(['memory', 'sqlite'] as const)('runNow with the %s broker', (broker) => {
  test('lets a job run that waits for its time, and none that is over or unknown', async () => {
    const runtime = startThreads(tasks, { broker: brokers[broker]() })
    const job = runtime.enqueue('mail', { to: 'ada' }, { delay: HOUR })
    expect((await runtime.job(job.id))?.state).toBe('scheduled')
    expect(await runtime.runNow(job.id)).toBe(true)
    expect(await job.result()).toEqual({ to: 'ada' })
    expect(await runtime.runNow(job.id)).toBe(false)
    expect(await runtime.runNow('none-1')).toBe(false)
  })

  test('makes the next attempt of a job that was to wait for it', async () => {
    const retry = { maxAttempts: 2, backoff: { delay: HOUR, jitter: 0 } }
    const failing = isoTaskAs('failing', 'gate', 'fail', { retry })
    const own = startThreads([failing], { broker: brokers[broker]() })
    const retrying = nextEvent(own, 'job:retrying')
    const job = own.enqueue('failing', undefined)
    await retrying
    expect(await own.runNow(job.id)).toBe(true)
    expect(await job.settled).toMatchObject({ state: 'dead', attempts: 2 })
  })

  test('leaves a job in the line of its batch, and takes its delay away', async () => {
    const runtime = startThreads(tasks, { broker: brokers[broker]() })
    const batch = runtime.openBatch({ order: 'sequential', onFailure: 'continue' })
    const job = batch.add('mail', { to: 'ada' }, { delay: HOUR })
    expect(await runtime.runNow(job.id)).toBe(true)
    expect(job.state).toBe('held')
    batch.settle({ statusCode: 200, outcome: 'sent', error: undefined, method: 'GET', url: '/' })
    expect(await job.result()).toEqual({ to: 'ada' })
  })
})

describe.each(['memory', 'sqlite'] as const)('change with the %s broker', (broker) => {
  test('gives a job that waits another payload, priority and time', async () => {
    const runtime = paused(broker)
    const job = runtime.enqueue('mail', { to: 'ada' })
    expect(await runtime.change(job.id, { payload: { to: 'bob' }, priority: 7, delay: HOUR })).toBe(true)
    expect(await runtime.job(job.id)).toMatchObject({ state: 'scheduled', priority: 7 })
    expect(await runtime.change(job.id, { runAt: new Date(0) })).toBe(true)
    runtime.resume()
    expect(await job.result()).toEqual({ to: 'bob' })
  })

  test('counts the bytes of the payload that a job has by then', async () => {
    const runtime = paused(broker)
    const job = runtime.enqueue('mail', { to: 'ada' })
    await runtime.change(job.id, { payload: { to: 'a'.repeat(1000) } })
    runtime.resume()
    await job.result()
    expect(runtime.stats()).toMatchObject({ pending: 0, pendingBytes: 0 })
  })

  test('refuses what the schema refuses, and what would give the job another key', async () => {
    const runtime = paused(broker)
    const refused = async (task: string, change: object): Promise<unknown> => {
      const job = runtime.enqueue(task, task === 'number' ? '1' : { to: 'ada' })
      const error: unknown = await runtime.change(job.id, change).catch((thrown: unknown) => thrown)
      expect(await runtime.job(job.id)).toMatchObject({ state: 'available', priority: 0 })
      job.cancel()
      return error
    }
    expect(await refused('mail', { priority: 2, payload: { to: 1 } })).toBeInstanceOf(PayloadInvalidError)
    for (const task of ['keyed', 'once'])
      expect(await refused(task, { payload: { to: 'bob' } })).toMatchObject({ path: 'payload' })
    expect(await refused('mail', {})).toBeInstanceOf(OptionsInvalidError)
    expect(await refused('mail', { delay: 1, runAt: 1 })).toMatchObject({ path: 'runAt' })
    expect(await refused('mail', { prio: 1 })).toMatchObject({ message: expect.stringContaining('priority') })
  })

  test('takes a payload that leaves a job its key', async () => {
    const runtime = paused(broker)
    const given = runtime.enqueue('mail', { to: 'ada' }, { key: 'own' })
    const number = runtime.enqueue('number', '1')
    const same = runtime.enqueue('once', { to: 'ada' })
    expect(await runtime.change(given.id, { payload: { to: 'bob' } })).toBe(true)
    expect(await runtime.change(number.id, { payload: '2' })).toBe(true)
    expect(await runtime.change(same.id, { payload: { to: 'ada' } })).toBe(true)
    runtime.resume()
    expect(await Promise.all([given.result(), number.result(), same.result()])).toEqual([
      { to: 'bob' },
      2,
      { to: 'ada' },
    ])
  })
})

describe.each(['memory', 'sqlite'] as const)('runAgain with the %s broker', (broker) => {
  test('adds a job as the other was, with its payload as the schema has made it, or with another', async () => {
    const runtime = paused(broker)
    const job = runtime.enqueue('number', '12', { priority: 4, key: 'k' })
    await job.stored
    const again = await runtime.runAgain(job.id)
    const edited = await runtime.runAgain(job.id, { payload: '13' })
    runtime.resume()
    expect([await again?.result(), await edited?.result()]).toEqual([12, 13])
    expect(await runtime.job(again?.id ?? '')).toMatchObject({ name: 'number', priority: 4, key: 'k' })
    expect(again?.id).not.toBe(job.id)
    expect(await runtime.runAgain('none-1')).toBeUndefined()
  })

  test('asks for the payload of a job that is over and does not have it any more', async () => {
    const runtime = startThreads(tasks, { broker: brokers[broker]() })
    const [mail, bare] = [runtime.enqueue('mail', { to: 'ada' }), runtime.enqueue('bare')]
    await Promise.all([mail.settled, bare.settled])
    await expect(runtime.runAgain(mail.id)).rejects.toBeInstanceOf(PayloadNotKeptError)
    await expect(runtime.runAgain(mail.id, { payload: { to: 1 } })).rejects.toBeInstanceOf(
      PayloadInvalidError,
    )
    const [other, same] = [
      await runtime.runAgain(mail.id, { payload: { to: 'bob' } }),
      await runtime.runAgain(bare.id),
    ]
    expect([await other?.result(), await same?.result()]).toEqual([{ to: 'bob' }, undefined])
  })
})

test('a change reaches a job that was sent to a thread behind another, and not one that has started there', async () => {
  const runtime = startThreads(tasks, { broker: brokers.memory() })
  const gate = new MemoryGate()
  await gate.teach(runtime)
  runtime.pause()
  const [first, second] = [runtime.enqueue('gate.block', 1), runtime.enqueue('gate.block', 2)]
  const started = nextEvent(runtime, 'job:started')
  runtime.resume()
  await started
  expect(await runtime.change(first.id, { priority: 3 })).toBe(false)
  expect(await runtime.change(second.id, { delay: HOUR })).toBe(true)
  expect(second.state).toBe('scheduled')
  gate.open(1)
  await first.settled
  gate.open(2)
  expect(await runtime.runNow(second.id)).toBe(true)
  expect((await second.settled).state).toBe('completed')
})
