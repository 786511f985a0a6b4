import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createRuntime, type EventName } from '../../src/index.ts'
import { posts, waitsForAbort } from '../fixtures/posting-tasks.ts'
import { nextEvent } from '../kit/jobs.ts'

const runtime = createRuntime({ tasks: [posts, waitsForAbort], pool: { threads: 1 }, log: false })

beforeAll(() => runtime.ready())
afterAll(async () => {
  await runtime.stop({ timeout: 0 })
})

describe('a handler that returns without a pause', () => {
  test('has its last progress told, before its end', async () => {
    const told: string[] = []
    const note = (name: EventName) => (): void => void told.push(name)
    runtime.on('job:progress', note('job:progress')).on('job:completed', note('job:completed'))
    const job = runtime.enqueue('posts', 'progress')
    await job.settled
    expect(told).toEqual(['job:progress', 'job:completed'])
    expect(job.progress).toBe('all of it')
  })

  test('has its log lines told', async () => {
    const line = nextEvent(runtime, 'job:log')
    await runtime.enqueue('posts', 'log').settled
    expect(await line).toMatchObject({ level: 'info', message: 'a line' })
  })

  test('has the job added that it did not wait for', async () => {
    const parent = runtime.enqueue('posts', 'enqueue')
    const child = await nextEvent(runtime, 'job:completed', ({ job }) => job.id !== parent.id)
    expect(child.job.name).toBe('posts')
  })
})

describe('a stop past its deadline', () => {
  test('is over when the last handler has heeded its signal, long before killGrace', async () => {
    const stubborn = createRuntime({
      tasks: [waitsForAbort],
      pool: { threads: 1 },
      killGrace: 60_000,
      log: false,
    })
    const started = nextEvent(stubborn, 'job:started')
    const job = stubborn.enqueue('waits-for-abort')
    await started
    expect(await stubborn.stop({ timeout: 0 })).toMatchObject({ lost: [{ id: job.id }] })
  })
})
