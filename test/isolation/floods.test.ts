/** Handlers that close or flood what leads to the event loop. */
import { describe, expect, test } from 'vitest'
import { nextEvent } from '../kit/jobs.ts'
import { collectEvents, failureOf, isoTask, startThreads } from '../kit/threads.ts'

const ok = isoTask('misbehave', 'ok')
const task = (name: string) => isoTask('misbehave', name)

describe('a handler that', () => {
  test('closes parentPort keeps its thread and its result', async () => {
    const closePort = task('closePort')
    const runtime = startThreads([ok, closePort])
    expect(await runtime.enqueue(closePort).result()).toBe('closed')
    expect(await runtime.enqueue(ok, 'next').result()).toBe('next')
  })

  test('floods parentPort fails its own attempt with the first message', async () => {
    const flood = task('floodParentPort')
    const runtime = startThreads([ok, flood])
    const error = await failureOf(runtime.enqueue(flood))
    expect(error).toBeInstanceOf(TypeError)
    expect(error.message).toContain('parentPort')
    expect(await runtime.enqueue(ok, 'next').result()).toBe('next')
  })

  test('floods progress is told now and then, and its last value always', async () => {
    const flood = task('floodProgress')
    const runtime = startThreads([ok, flood])
    const told = collectEvents(runtime, 'job:progress')
    const job = runtime.enqueue(flood, { count: 200_000 })
    const { took } = (await job.result()) as { took: number }
    expect(job.progress).toBe(200_000)
    expect(told.at(-1)?.progress).toBe(200_000)
    // Once in 20 ms of the handler's own time, the first and the last besides.
    expect(told.length).toBeLessThanOrEqual(took / 20 + 2)
    expect(await runtime.enqueue(ok, 'next').result()).toBe('next')
  })

  test('floods the log has its first 1,000 lines told as they come, and its last ones at the end', async () => {
    const flood = task('floodLog')
    const runtime = startThreads([flood])
    const lines = collectEvents(runtime, 'job:log')
    await runtime.enqueue(flood, { count: 50_000 }).result()
    expect(lines[999]?.message).toBe('line 1000')
    expect(lines[1000]).toMatchObject({ level: 'warn', message: expect.stringContaining('1000 lines') })
    const { dropped = 0 } = lines[1001] ?? {}
    expect(lines[1001]?.message).toBe(`${dropped} lines are left out here`)
    const last = lines.slice(1002).map(({ message }) => message)
    expect(last).toEqual(last.map((_, at) => `line ${1000 + dropped + at + 1}`))
    expect(last.at(-1)).toBe('line 50000')
  })

  test('adds jobs without waiting for the answers leaves the event loop its turns', async () => {
    const flood = task('floodEnqueue')
    const runtime = startThreads([ok, flood], { maxPending: 100_000 })
    let turns = 0
    const count = (): void => {
      turns++
      immediate = setImmediate(count)
    }
    let immediate = setImmediate(count)
    expect(await runtime.enqueue(flood, { count: 5000 }).result()).toBe(5000)
    clearImmediate(immediate)
    // Were they all taken in at once, there would be one before them and one after.
    expect(turns).toBeGreaterThan(2)
  })

  test('adds more jobs than maxPending allows hears of each that is refused', async () => {
    const flood = task('floodEnqueue')
    const runtime = startThreads([ok, flood], { maxPending: 51 })
    runtime.on('runtime:overloaded', () => {})
    expect(await runtime.enqueue(flood, { count: 500 }).result()).toBe(50)
  })

  test('gives progress a value that cannot travel fails there, with a typed error', async () => {
    const progress = task('progressFunction')
    const runtime = startThreads([ok, progress])
    const exits = collectEvents(runtime, 'thread:exited')
    expect(await failureOf(runtime.enqueue(progress))).toMatchObject({
      code: 'ERR_NOT_SERIALIZABLE',
      path: 'progress',
    })
    expect(await runtime.enqueue(ok, 'next').result()).toBe('next')
    expect(exits).toEqual([])
  })

  test('logs what cannot travel loses the data, not the job', async () => {
    const log = task('logFunction')
    const runtime = startThreads([log])
    const told = nextEvent(runtime, 'job:log')
    expect(await runtime.enqueue(log).result()).toBe('logged')
    expect(await told).toMatchObject({
      message: 'with a function',
      data: expect.stringContaining('cannot travel'),
    })
  })

  test('breaks what its thread stands on is got rid of with that thread', async () => {
    const breakThread = task('breakThread')
    const runtime = startThreads([ok, breakThread])
    runtime.on('thread:error', () => {})
    await runtime.enqueue(breakThread).settled
    // Jobs of one thread are not isolated from each other: this one may pay, but it does end.
    await runtime.enqueue(ok, 'next', { timeout: 50 }).settled
    expect(await runtime.enqueue(ok, 'on a new thread').result()).toBe('on a new thread')
  })
})
