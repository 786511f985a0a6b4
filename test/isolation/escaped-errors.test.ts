/** Errors thrown where the handler cannot catch them: from a timer, or as a rejection that nobody awaits. */
import { describe, expect, test } from 'vitest'
import { nextEvent } from '../kit/jobs.ts'
import { gateTasks, MemoryGate } from '../kit/memory-gate.ts'
import { addTogether, collectEvents, failureOf, isoTask, startThreads } from '../kit/threads.ts'

const ok = isoTask('misbehave', 'ok')
const throwInTimer = isoTask('misbehave', 'throwInTimer')
const rejectUnheard = isoTask('misbehave', 'rejectUnheard')
const rejectNonError = isoTask('misbehave', 'rejectNonError')
const throwAfterReturn = isoTask('misbehave', 'throwAfterReturn')
const rejectAfterReturn = isoTask('misbehave', 'rejectAfterReturn')
const throwWithoutNet = isoTask('misbehave', 'throwWithoutNet')

describe('an uncaught exception', () => {
  test('fails its own attempt with that very error, and the next job succeeds', async () => {
    const runtime = startThreads([ok, throwInTimer])
    const error = await failureOf(runtime.enqueue(throwInTimer))
    expect(error).toBeInstanceOf(RangeError)
    expect(error).toMatchObject({ message: 'thrown in a timer', code: 'E_TIMER', at: 42 })
    expect(error.stack).toContain('iso-misbehave')
    expect(await runtime.enqueue(ok, 'next').result()).toBe('next')
  })

  test('is a failure, not a crash: the attempt counts against maxAttempts', async () => {
    const runtime = startThreads([throwInTimer])
    const job = runtime.enqueue(throwInTimer, undefined, { maxAttempts: 2 })
    const retrying = await nextEvent(runtime, 'job:retrying')
    expect(retrying).toMatchObject({ job: { attempt: 1 }, error: { code: 'E_TIMER' } })
    job.cancel()
    await job.settled
  })

  test('has the thread replaced, since its state cannot be trusted any more', async () => {
    const runtime = startThreads([ok, throwInTimer])
    const exited = nextEvent(runtime, 'thread:exited')
    await failureOf(runtime.enqueue(throwInTimer))
    expect(await exited).toMatchObject({ expected: true })
  })

  test('in a bundle sends its neighbours to another thread with no attempt counted', async () => {
    const runtime = startThreads([ok, throwInTimer], {
      bundles: { milliseconds: Number.POSITIVE_INFINITY, max: 4 },
    })
    await runtime.ready()
    const [culprit, ...neighbours] = addTogether(runtime, () => [
      runtime.enqueue(throwInTimer),
      ...[1, 2, 3].map((number) => runtime.enqueue(ok, number)),
    ])
    expect(await culprit?.settled).toMatchObject({ state: 'dead', attempts: 1 })
    for (const job of neighbours) expect(await job.settled).toMatchObject({ state: 'completed', attempts: 1 })
  })

  test('beside others of an io thread fails the one whose it is, and lets the others finish there', async () => {
    const tasks = [throwInTimer, ...Object.values(gateTasks)]
    const runtime = startThreads(tasks, { pool: { threads: 1, concurrency: 4 } })
    const gate = new MemoryGate()
    await gate.teach(runtime)
    const neighbours = [1, 2].map((at) => runtime.enqueue(gateTasks.wait, { at }))
    for (const at of [1, 2]) await gate.reached(at)
    expect(await failureOf(runtime.enqueue(throwInTimer))).toMatchObject({ code: 'E_TIMER' })
    gate.open(1)
    gate.open(2)
    for (const job of neighbours) expect(await job.settled).toMatchObject({ state: 'completed', attempts: 1 })
  })

  test('on an io thread whose others take long does not keep new jobs from starting', async () => {
    const tasks = [ok, throwInTimer, ...Object.values(gateTasks)]
    const runtime = startThreads(tasks, { pool: { threads: 1, concurrency: 4 } })
    const gate = new MemoryGate()
    await gate.teach(runtime)
    const slow = runtime.enqueue(gateTasks.wait, { at: 1 })
    await gate.reached(1)
    await failureOf(runtime.enqueue(throwInTimer))
    expect(await runtime.enqueue(ok, 'on the replacement').result()).toBe('on the replacement')
    expect(slow.state).toBe('running')
    gate.open(1)
    await slow.result()
  })

  test('in a handler that has removed all listeners fails its own attempt all the same', async () => {
    const runtime = startThreads([ok, throwWithoutNet])
    expect(await failureOf(runtime.enqueue(throwWithoutNet))).toMatchObject({ message: 'without a net' })
    expect(await runtime.enqueue(ok, 'next').result()).toBe('next')
  })
})

describe('an unhandled rejection', () => {
  test('fails its own attempt with that very error, and the next job succeeds', async () => {
    const runtime = startThreads([ok, rejectUnheard])
    const error = await failureOf(runtime.enqueue(rejectUnheard))
    expect(error).toBeInstanceOf(TypeError)
    expect(error).toMatchObject({ message: 'nobody listens', code: 'E_UNHEARD' })
    expect(await runtime.enqueue(ok, 'next').result()).toBe('next')
  })

  test('with something that is no Error fails its attempt with a typed error that holds it', async () => {
    const runtime = startThreads([rejectNonError])
    const error = await failureOf(runtime.enqueue(rejectNonError))
    expect(error).toMatchObject({ code: 'ERR_NON_ERROR_THROWN', cause: 'just a string' })
  })

  test('beside others of an io thread is charged to the job whose it is', async () => {
    const tasks = [rejectUnheard, ...Object.values(gateTasks)]
    const runtime = startThreads(tasks, { pool: { threads: 1, concurrency: 4 } })
    const gate = new MemoryGate()
    await gate.teach(runtime)
    const neighbour = runtime.enqueue(gateTasks.wait, { at: 1 })
    await gate.reached(1)
    expect(await failureOf(runtime.enqueue(rejectUnheard))).toMatchObject({ code: 'E_UNHEARD' })
    gate.open(1)
    expect(await neighbour.settled).toMatchObject({ state: 'completed', attempts: 1 })
  })
})

describe('an error thrown when the handler had already returned', () => {
  test.each([
    ['by a timer', throwAfterReturn, 'too late'],
    ['by a promise', rejectAfterReturn, 'rejected too late'],
  ])('%s is told with the id of its job, which stays completed', async (_, task, message) => {
    const runtime = startThreads([task, ok])
    const stray = nextEvent(runtime, 'thread:error')
    const job = runtime.enqueue(task, { wait: 1 })
    expect(await job.result()).toBe('returned')
    expect(await stray).toMatchObject({ pool: 'default', jobId: job.id, error: { message } })
    expect(job.state).toBe('completed')
  })

  test('is charged to nobody else: the job that runs meanwhile completes with its first attempt', async () => {
    const runtime = startThreads(Object.values(gateTasks))
    const gate = new MemoryGate()
    await gate.teach(runtime)
    const interrupted = collectEvents(runtime, 'job:interrupted')
    const stray = nextEvent(runtime, 'thread:error')
    const culprit = runtime.enqueue('gate.leaveThrow', { at: 1 })
    await culprit.result()
    const innocent = runtime.enqueue('gate.wait', { at: 2 })
    await gate.reached(2)
    gate.open(1)
    expect(await stray).toMatchObject({ jobId: culprit.id, error: { message: 'too late' } })
    gate.open(2)
    expect(await innocent.settled).toMatchObject({ state: 'completed', attempts: 1 })
    expect(interrupted).toEqual([])
  })

  test('is one line on stderr when nobody listens', async () => {
    const lines: string[] = []
    const { write } = process.stderr
    const written = Promise.withResolvers<void>()
    process.stderr.write = ((line: string) => {
      if (line.startsWith('aftertask:')) {
        lines.push(line)
        written.resolve()
      }
      return true
    }) as typeof write
    try {
      const runtime = startThreads([throwAfterReturn], { log: true })
      const job = runtime.enqueue(throwAfterReturn, { wait: 1 })
      await written.promise
      const [first, place] = lines.join('').split('\n')
      expect(first).toBe(
        `aftertask: an error escaped a handler that had already ended (job ${job.id}): Error: too late`,
      )
      expect(place).toContain('iso-misbehave.ts')
    } finally {
      process.stderr.write = write
    }
  })
})
