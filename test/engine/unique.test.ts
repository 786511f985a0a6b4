/** What becomes of equal jobs, on the brokers that know every holder of a key. */
import { describe, expect, test } from 'vitest'
import { memoryBroker } from '../../src/brokers/memory.ts'
import type { Broker } from '../../src/brokers/port/broker.ts'
import { sqliteBroker } from '../../src/brokers/sqlite.ts'
import type { Batch } from '../../src/engine/batch.ts'
import type { JobOptions, ResponseFacts } from '../../src/words/job.ts'
import { gated } from '../fixtures/http-tasks.ts'
import { gate } from '../kit/jobs.ts'
import { tempFolder } from '../kit/temp-folder.ts'
import { isoTask, startThreads } from '../kit/threads.ts'

const ok = isoTask('misbehave', 'ok')
const { newFile } = tempFolder('unique')
const journal = (shared = false): Broker => sqliteBroker({ file: newFile(), shared })

const waiting = { unique: { key: 'ada', while: 'waiting' } } as const
const replacing = { unique: { key: 'ada', replace: true } } as const

async function start(broker: Broker, maxPending?: number) {
  const options = { broker, ...(maxPending === undefined ? {} : { maxPending }) }
  const runtime = startThreads([gated, ok], options)
  await runtime.ready()
  /** Adds a job that runs until it is let go. */
  const hold = async (how: JobOptions) => {
    const { channel, open } = gate()
    const started = new Promise<void>((resolve) => runtime.on('job:progress', () => resolve()))
    const job = runtime.enqueue(gated, { channel }, how)
    await started
    return { job, letGo: open }
  }
  return { runtime, hold }
}

describe.each([
  ['memory', () => memoryBroker()],
  ['sqlite', () => journal()],
])('a job on %s that is unique', (_name, make) => {
  test('while pending gives its handle to those that come until it is over, and its own payload counts', async () => {
    const { runtime, hold } = await start(make())
    const { job, letGo } = await hold({ unique: { key: 'ada' } })
    expect(runtime.enqueue(gated, { channel: 'another' }, { unique: 'ada' }).id).toBe(job.id)
    letGo()
    await job.result()
    expect(runtime.enqueue(gated, { channel: 'another' }, { unique: 'ada' }).id).not.toBe(job.id)
  })

  test('while waiting makes way for one more as soon as it runs, and for no third', async () => {
    const { runtime, hold } = await start(make())
    const { job, letGo } = await hold(waiting)
    const second = gate()
    const next = runtime.enqueue(gated, { channel: second.channel }, waiting)
    expect(next.id).not.toBe(job.id)
    expect(runtime.enqueue(gated, { channel: 'a third' }, waiting).id).toBe(next.id)
    await next.stored
    const isRunning = new Promise<void>((resolve) => runtime.on('job:progress', () => resolve()))
    letGo()
    await isRunning
    second.open()
    expect((await Promise.all([job.settled, next.settled])).map(({ state }) => state)).toEqual([
      'completed',
      'completed',
    ])
  })

  test('and replaces cancels the one that waits, so that the newest change has a job of its own', async () => {
    const { runtime, hold } = await start(make())
    const { job, letGo } = await hold(replacing)
    const changes = ['two', 'three', 'four'].map((channel) => runtime.enqueue(gated, { channel }, replacing))
    const [two, three, four] = changes
    expect((await Promise.all([two?.settled, three?.settled])).map((end) => end?.state)).toEqual([
      'cancelled',
      'cancelled',
    ])
    const isRunning = new Promise<void>((resolve) => runtime.on('job:progress', () => resolve()))
    letGo()
    await isRunning
    expect([(await job.settled).state, four?.state]).toEqual(['completed', 'running'])
  })

  test('and replaces needs no room in a full queue', async () => {
    const { runtime } = await start(make(), 1)
    runtime.pause()
    const older = runtime.enqueue(ok, 1, replacing)
    const newer = runtime.enqueue(ok, 2, replacing)
    expect((await older.settled).state).toBe('cancelled')
    expect(runtime.stats().pending).toBe(1)
    runtime.resume()
    expect(await newer.result()).toBe(2)
  })

  test('and replaces while its response is open costs nobody his job when that response fails', async () => {
    const { runtime } = await start(make())
    runtime.pause()
    const facts: ResponseFacts = {
      statusCode: 200,
      outcome: 'sent',
      error: undefined,
      method: 'GET',
      url: '/',
    }
    const batch = (): Batch => runtime.openBatch({ order: 'sequential', onFailure: 'continue' })
    const sure = runtime.enqueue(ok, 'sure', replacing)
    const [failing, fine] = [batch(), batch()]
    const skipped = failing.add(ok, 'never', replacing)
    const newest = fine.add(ok, 'newest', replacing)
    failing.settle({ ...facts, statusCode: 500 })
    expect(sure.state).toBe('available')
    fine.settle(facts)
    expect((await sure.settled).state).toBe('cancelled')
    expect((await skipped.settled).state).toBe('skipped')
    runtime.resume()
    expect(await newest.result()).toBe('newest')
  })
})

test('a shared journal refuses rules that need to know every holder of a key', async () => {
  const { runtime } = await start(journal(true))
  for (const options of [waiting, replacing]) {
    expect(() => runtime.enqueue(ok, 1, options)).toThrow(
      expect.objectContaining({
        code: 'ERR_OPTIONS_INVALID',
        message: expect.stringContaining('this broker cannot keep'),
      }),
    )
  }
  expect(runtime.stats().pending).toBe(0)
  const task = isoTask('misbehave', 'ok', { unique: { replace: true } })
  expect(() => startThreads([task], { broker: journal(true) })).toThrow('The task "misbehave.ok" has')
})
