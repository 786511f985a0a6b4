import { AssertionError } from 'node:assert/strict'
import { createServer } from 'node:http'
import { after } from 'aftertask'
import { afterResponse } from 'aftertask/http'
import { createTestRuntime, expectJob, expectNoJob } from 'aftertask/testing'
import { describe, expect, test } from 'vitest'
import { get, listen } from '../kit/serve.ts'
import { greet, tasks } from './tasks.ts'

describe.each(['inline', 'threads'] as const)('a test runtime that runs jobs %s', (mode) => {
  test(`runs a job of its own accord (${mode})`, async () => {
    await using runtime = createTestRuntime({ tasks, mode })
    expect(await runtime.enqueue('greet', { to: 'Ada' }).result()).toBe('Hello, Ada')
  })

  test(`lets a handler see a copy of the payload (${mode})`, async () => {
    await using runtime = createTestRuntime({ tasks, mode })
    const at = new Date(0)
    runtime.enqueue('greet', { to: 'Ada', at })
    expect(runtime.added[0]?.payload).toEqual({ to: 'Ada', at })
    expect(expectJob(runtime, 'greet').payload.at).not.toBe(at)
  })

  test(`runs a handler within the trace of its attempt (${mode})`, async () => {
    const telemetry = {
      threadModule: new URL('./handlers/tracer.ts', import.meta.url),
      added: () => undefined,
      sent: () => 'the trace',
      takenBack: () => {},
      ended: () => {},
    }
    await using runtime = createTestRuntime({ tasks, mode, telemetry })
    expect(await runtime.enqueue('greet', { to: 'Ada' }).result()).toBe('the trace: Hello, Ada')
  })

  test(`refuses a payload that is not valid, and one that does not travel (${mode})`, async () => {
    await using runtime = createTestRuntime({ tasks, mode })
    expect(() => runtime.enqueue('greet', { to: 5 } as never)).toThrow(
      expect.objectContaining({ code: 'ERR_PAYLOAD_INVALID' }),
    )
    expect(() => runtime.enqueue('anything', () => {})).toThrow(
      expect.objectContaining({ code: 'ERR_NOT_SERIALIZABLE' }),
    )
    expect(runtime.added).toEqual([])
  })

  test(`refuses a result that does not travel (${mode})`, async () => {
    await using runtime = createTestRuntime({ tasks, mode })
    const { state, error } = await runtime.enqueue('odd').settled
    expect([state, (error as { code?: string }).code]).toEqual(['dead', 'ERR_NOT_SERIALIZABLE'])
  })

  test(`tries a job again when its back-off has passed by the clock of the runtime (${mode})`, async () => {
    await using runtime = createTestRuntime({ tasks, mode })
    const job = runtime.enqueue('flaky', { failures: 3 })
    expect(await runtime.drain({ scheduled: true })).toEqual({
      completed: 1,
      dead: 0,
      cancelled: 0,
      skipped: 0,
    })
    expect(await job.settled).toMatchObject({ result: 4, attempts: 4 })
  })

  test(`ends an attempt at its timeout by the clock of the runtime (${mode})`, async () => {
    await using runtime = createTestRuntime({ tasks, mode })
    const job = runtime.enqueue('stuck')
    await runtime.waitFor('stuck', { state: 'running' })
    await runtime.clock.advance('29s')
    expect(job.state).toBe('running')
    await runtime.clock.advance('1s')
    expect((await job.settled).error).toMatchObject({ code: 'ERR_TASK_TIMEOUT' })
  })

  test(`gives a handler its grace also when time goes far beyond that (${mode})`, async () => {
    await using runtime = createTestRuntime({ tasks, mode })
    const exits: unknown[] = []
    runtime.on('thread:exited', (event) => exits.push(event))
    const job = runtime.enqueue('stuck')
    await runtime.waitFor('stuck', { state: 'running' })
    await runtime.clock.advance('1h')
    expect((await job.settled).error).toMatchObject({ code: 'ERR_TASK_TIMEOUT' })
    expect(exits).toEqual([])
  })

  test(`performs one job with its whole context (${mode})`, async () => {
    await using runtime = createTestRuntime({ tasks, mode })
    expect(await runtime.perform('greet', { to: 'Ada' })).toMatchObject({
      state: 'completed',
      result: 'Hello, Ada',
      error: undefined,
      progress: [{ half: true }],
      logs: [{ level: 'info', message: 'greeting', data: { to: 'Ada' } }],
      added: [],
    })
    expect(runtime.added).toEqual([])
  })

  test(`performs a job whose failure is an outcome (${mode})`, async () => {
    await using runtime = createTestRuntime({ tasks, mode })
    const { state, error } = await runtime.perform('flaky', { failures: 1 })
    expect([state, error?.message]).toEqual(['dead', 'attempt 1 fails'])
  })

  test(`performs a job and lists what the handler added, which does not run (${mode})`, async () => {
    await using runtime = createTestRuntime({ tasks, mode })
    const { added } = await runtime.perform('parent', 2)
    expect(added.map(({ name, payload }) => [name, payload])).toEqual([
      ['greet', { to: 'child 1' }],
      ['greet', { to: 'child 2' }],
    ])
    expect(added.every(({ job }) => job.state !== 'completed')).toBe(true)
  })
})

describe('a manual test runtime', () => {
  test('runs nothing until it is drained', async () => {
    await using runtime = createTestRuntime({ tasks, mode: 'manual' })
    const job = runtime.enqueue('greet', { to: 'Ada' })
    await runtime.clock.quiet()
    expect(job.state).toBe('available')
    expect(await runtime.drain()).toMatchObject({ completed: 1 })
    expect(job.state).toBe('completed')
    expect(runtime.enqueue('greet', { to: 'Bob' }).state).toBe('available')
  })

  test('drains what handlers add, unless that is not wanted', async () => {
    await using runtime = createTestRuntime({ tasks, mode: 'manual' })
    runtime.enqueue('parent', 2)
    runtime.enqueue('greet', { to: 'Ada' })
    expect(await runtime.drain({ recursive: false })).toMatchObject({ completed: 2 })
    expect(await runtime.drain()).toMatchObject({ completed: 2 })
    runtime.enqueue('parent', 2)
    expect(await runtime.drain()).toMatchObject({ completed: 3 })
  })

  test('leaves what is scheduled, unless time is to pass', async () => {
    await using runtime = createTestRuntime({
      tasks,
      mode: 'manual',
      startAt: new Date('2027-01-01T00:00:00Z'),
    })
    const job = runtime.enqueue('greet', { to: 'Ada' }, { delay: 3_600_000 })
    expect(runtime.added[0]?.dueAt).toEqual(new Date('2027-01-01T01:00:00Z'))
    expect(await runtime.drain()).toMatchObject({ completed: 0 })
    expect(await runtime.drain({ scheduled: true })).toMatchObject({ completed: 1 })
    expect(job.state).toBe('completed')
    expect(runtime.clock.date()).toEqual(new Date('2027-01-01T01:00:00Z'))
  })

  test('rejects a drain in which a job ends dead, and names the job and its error', async () => {
    await using runtime = createTestRuntime({ tasks, mode: 'manual' })
    runtime.enqueue('broken')
    const fault = await runtime.drain().catch((error: unknown) => error)
    expect(fault).toBeInstanceOf(AssertionError)
    expect(fault).toMatchObject({
      message: expect.stringContaining('"broken" undefined: broken for good'),
      cause: expect.objectContaining({ message: 'broken for good' }),
    })
    runtime.enqueue('broken')
    expect(await runtime.drain({ throws: false })).toMatchObject({ dead: 1 })
  })

  test('takes a handler of the test in place of that of a task', async () => {
    await using runtime = createTestRuntime({
      tasks,
      mode: 'manual',
      handlers: { greet: ({ to }, ctx) => `${ctx.attempt}: ${to}` },
    })
    const job = runtime.enqueue('greet', { to: 'Ada' })
    await runtime.drain()
    expect(await job.result()).toBe('1: Ada')
  })
})

describe('the clock of a test runtime', () => {
  test('stands still, and moves by itself for nobody', async () => {
    await using runtime = createTestRuntime({ tasks, startAt: new Date(0) })
    const job = runtime.enqueue('greet', { to: 'Ada' }, { delay: 1 })
    await runtime.clock.quiet()
    expect([job.state, runtime.clock.wall()]).toEqual(['scheduled', 0])
    await runtime.clock.advance(1)
    expect(job.state).toBe('completed')
  })

  test('lets everything happen in order and at its own time', async () => {
    await using runtime = createTestRuntime({ tasks, startAt: new Date(0) })
    const seen: [string, number][] = []
    runtime.on('job:completed', ({ result }) => seen.push([String(result), runtime.clock.wall()]))
    runtime.enqueue('greet', { to: 'last' }, { delay: 3000 })
    runtime.enqueue('greet', { to: 'first' }, { delay: 1000 })
    await runtime.clock.advance('5s')
    expect(seen).toEqual([
      ['Hello, first', 1000],
      ['Hello, last', 3000],
    ])
    expect(runtime.clock.wall()).toBe(5000)
  })

  test('goes to the next thing that is due', async () => {
    await using runtime = createTestRuntime({ tasks, startAt: new Date(0) })
    runtime.enqueue('greet', { to: 'later' }, { delay: 60_000 })
    expect(await runtime.clock.next()).toBe(true)
    expect(runtime.added[0]?.job.state).toBe('completed')
  })

  test('drives schedules', async () => {
    await using runtime = createTestRuntime({ tasks, startAt: new Date('2027-01-01T00:00:00Z') })
    runtime.schedule('nightly', 'greet', { to: 'night' }, { cron: '0 3 * * *', timeZone: 'UTC' })
    await runtime.clock.advance('2d')
    expect(runtime.added.map(({ name }) => name)).toEqual(['greet', 'greet'])
  })

  test.each([-1, Number.NaN, '1 fortnight', null, {}])('refuses to advance by %j', async (time) => {
    await using runtime = createTestRuntime({ tasks })
    await expect(runtime.clock.advance(time as never)).rejects.toMatchObject({ code: 'ERR_OPTIONS_INVALID' })
  })
})

describe('expectJob and expectNoJob', () => {
  test('find a job by part of its payload, and return it', async () => {
    await using runtime = createTestRuntime({ tasks, mode: 'manual' })
    runtime.enqueue(greet, { to: 'Ada', at: new Date(0) })
    expect(expectJob(runtime, greet, { to: 'Ada' }).payload).toEqual({ to: 'Ada', at: new Date(0) })
    expect(expectJob(runtime, 'greet').name).toBe('greet')
    expectNoJob(runtime, 'greet', { to: 'Bob' })
    expectNoJob(runtime, 'broken')
  })

  test('say what was added instead, and which line added it', async () => {
    await using runtime = createTestRuntime({ tasks, mode: 'manual' })
    runtime.enqueue('greet', { to: 'Ada' })
    const fault = grab(() => expectJob(runtime, 'greet', { to: 'Bob' }))
    expect(fault).toBeInstanceOf(AssertionError)
    expect(fault.message).toContain('No job of "greet" with {"to":"Bob"} was added.')
    expect(fault.message).toMatch(
      /"greet" \{"to":"Ada"\} \(available, added at .*test-runtime\.test\.ts:\d+\)/,
    )
    expect(fault.stack?.split('\n').find((line) => line.includes(' at '))).toContain('test-runtime.test.ts')
    expect(grab(() => expectNoJob(runtime, 'greet')).message).toContain('{"to":"Ada"}')
    expect(grab(() => expectJob(runtime, 'broken')).message).toContain('"broken" was added. What was added:')
  })

  test('wait for a job that is still to come', async () => {
    await using runtime = createTestRuntime({ tasks, mode: 'manual' })
    setImmediate(() => runtime.enqueue('greet', { to: 'late' }))
    expect((await expectJob(runtime, 'greet', { to: 'late' }, { within: 5000 })).payload).toEqual({
      to: 'late',
    })
    await expect(expectJob(runtime, 'broken', undefined, { within: 1 })).rejects.toThrow('"broken" was added')
  })
})

describe('a listener for one task', () => {
  test('hears of the jobs of that task alone, until it is taken away', async () => {
    await using runtime = createTestRuntime({ tasks })
    const heard: string[] = []
    const listener = ({ result }: { result: string }) => heard.push(result)
    runtime.on('job:completed', greet, listener).on('job:completed', 'greet', listener)
    await runtime.enqueue('parent', 1).settled
    await runtime.drain()
    expect(heard).toEqual(['Hello, child 1'])
    runtime.off('job:completed', 'greet', listener)
    await runtime.enqueue(greet, { to: 'Ada' }).settled
    expect(heard).toEqual(['Hello, child 1'])
  })

  test('is refused for an event that is not about jobs, and for a task that is not there', async () => {
    await using runtime = createTestRuntime({ tasks })
    expect(() => runtime.on('thread:started' as never, greet, () => {})).toThrow(
      /^on: the task is "greet"; expected none/,
    )
    expect(() => runtime.on('job:dead', 'gret' as never, () => {})).toThrow('No task is named "gret".')
    expect(() => runtime.on('job:dead', greet, undefined as never)).toThrow('the listener is missing')
  })
})

describe('waitFor', () => {
  test('sees a job that was over before', async () => {
    await using runtime = createTestRuntime({ tasks })
    await runtime.enqueue('greet', { to: 'Ada' }).settled
    expect((await runtime.waitFor('greet', { payload: { to: 'Ada' } })).job.state).toBe('completed')
  })

  test('says what there was instead when its time is over', async () => {
    await using runtime = createTestRuntime({ tasks, mode: 'manual' })
    runtime.enqueue('greet', { to: 'Ada' })
    await expect(runtime.waitFor('greet', { within: 1 })).rejects.toThrow(
      /No job of "greet" was over within 1 ms\. What was added:\n {2}"greet" \{"to":"Ada"\} \(available/,
    )
  })
})

describe('a test runtime that ends', () => {
  test('names the jobs that were left, where that is asked for', async () => {
    const runtime = createTestRuntime({ tasks, mode: 'manual', failOnLeft: true })
    runtime.enqueue('greet', { to: 'Ada' })
    await expect(runtime.stop({ timeout: 0 })).rejects.toThrow(/before a job had ended\..*\n {2}"greet"/)
  })

  test('ends a handler that waits, without time that somebody lets pass', async () => {
    const runtime = createTestRuntime({ tasks })
    const job = runtime.enqueue('stuck')
    await runtime.waitFor('stuck', { state: 'running' })
    await runtime[Symbol.asyncDispose]()
    expect((await job.settled).state).toBe('cancelled')
  })
})

test('a test runtime takes the jobs of a server, once the responses are over', async () => {
  await using runtime = createTestRuntime({ tasks, mode: 'manual' })
  const jobs = afterResponse(runtime)
  const server = createServer((req, res) => {
    jobs(req, res, () => {
      after('greet', { to: 'the client' })
      res.end('ok')
    })
  })
  await (await get(await listen(server))).text()
  expectJob(runtime, 'greet', { to: 'the client' })
  expect(await runtime.drain()).toMatchObject({ completed: 1 })
})

test.each([
  [{ tasks, mode: 'eager' }, 'mode'],
  [{ tasks, handlers: { greet: 'Hello' } }, 'handlers["greet"]'],
  [{ tasks, handlers: {}, mode: 'threads' }, 'handlers'],
  [{ tasks, startAt: 'today' }, 'startAt'],
  [undefined, 'options'],
  [{ tasks, colour: 'red' }, 'colour'],
])('createTestRuntime refuses %j', (options, path) => {
  expect(() => createTestRuntime(options as never)).toThrow(
    expect.objectContaining({ code: 'ERR_OPTIONS_INVALID', path: expect.stringContaining(path) }),
  )
})

function grab(run: () => unknown): Error {
  try {
    run()
  } catch (error) {
    return error as Error
  }
  throw new Error('It threw nothing.')
}
