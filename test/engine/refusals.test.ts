/** What the methods of a runtime say of arguments that they cannot take. */
import { runInNewContext } from 'node:vm'
import { afterAll, describe, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { memoryBroker } from '../../src/brokers/memory.ts'
import { createRuntime, type Runtime } from '../../src/engine/runtime.ts'
import { type AnyTask, defineTask } from '../../src/rules/task.ts'
import { AftertaskError, OptionsInvalidError } from '../../src/words/errors.ts'
import type { JobOptions } from '../../src/words/job.ts'

const handler = new URL('../fixtures/handlers/http-note.ts', import.meta.url)
const ok = defineTask({ name: 'ok', payload: z.any(), handler })
const mail = defineTask({ name: 'mail.send', payload: z.object({ to: z.string() }), handler })

function runtimeOf(options: object = {}): Runtime<AnyTask> {
  const runtime = createRuntime({
    tasks: [ok, mail],
    pool: { threads: 1, warmUp: false },
    log: false,
    ...options,
  })
  return runtime as never
}

const runtime = runtimeOf()
runtime.pause()
afterAll(() => runtime.stop({ timeout: 0 }))

async function refusalOf(call: () => unknown): Promise<AftertaskError> {
  const pending = runtime.stats().pending
  const thrown: unknown = await Promise.resolve()
    .then(call)
    .then(
      () => new Error('It was not refused.'),
      (error: unknown) => error,
    )
  expect(thrown).toBeInstanceOf(AftertaskError)
  expect(runtime.stats().pending).toBe(pending)
  return thrown as AftertaskError
}

function revokedProxy(): object {
  const { proxy, revoke } = Proxy.revocable([], {})
  revoke()
  return proxy
}

function throwOwn(): never {
  throw new Error('mine')
}

const delayed = runtime.enqueue(ok, 1, { delay: 60_000 })

describe('a call to a runtime is refused with function, value, expectation and remedy', () => {
  test.each<[string, () => unknown, RegExp]>([
    [
      'enqueue()',
      () => Reflect.apply(runtime.enqueue, runtime, []),
      /^enqueue: the task is missing; expected a task made by defineTask, or its name\. Is it exported, or is there a circular import\?/,
    ],
    [
      'enqueue(function)',
      () => runtime.enqueue((() => 1) as never, 1 as never),
      /^enqueue: the task is a function; .*A function cannot travel to a thread: put it in a file of its own/,
    ],
    [
      'enqueue({ task, payload })',
      () => runtime.enqueue({ task: ok, payload: 1 } as never, 1 as never),
      /^enqueue: the task is an object; .*The payload is the next argument/,
    ],
    ['enqueue of a copy', () => runtime.enqueue({ ...ok }, 1), /Pass what defineTask returned/],
    [
      'enqueue(task, payload, text)',
      () => runtime.enqueue(ok, 1, 'high' as never),
      /^enqueue\("ok"\): the options are "high"; expected an object/,
    ],
    [
      'enqueue(task, payload, null)',
      () => runtime.enqueue(ok, 1, null as never),
      /the options are null; expected an object/,
    ],
    [
      'enqueue(task, payload, promise)',
      () => runtime.enqueue(ok, 1, Promise.resolve({}) as never),
      /the options are a Promise/,
    ],
    [
      'an unknown option',
      () => runtime.enqueue(ok, 1, { prio: 3 } as never),
      /unknown option "prio"\. Did you mean "priority"\?/,
    ],
    ['attempts', () => runtime.enqueue(ok, 1, { attempts: 3 } as never), /Did you mean "maxAttempts"\?/],
    [
      'a getter that throws',
      () =>
        runtime.enqueue(ok, 1, {
          get delay(): number {
            throw new Error('mine')
          },
        }),
      /the options cannot be read: mine/,
    ],
    [
      'runAt in seconds',
      () => runtime.enqueue(ok, 1, { runAt: 1_790_000_000 }),
      /"runAt" is 1790000000, which is 1970-01-21.*Multiply seconds by 1000/,
    ],
    [
      'an async when',
      () => runtime.enqueue(ok, 1, { when: (async () => true) as never }),
      /"when" is a function; expected 'ok', 'error', 'always' or a function that is not asynchronous/,
    ],
    [
      'a controller as signal',
      () => runtime.enqueue(ok, 1, { signal: new AbortController() as never }),
      /is an AbortController; expected an AbortSignal: give controller\.signal/,
    ],
    [
      'bytes to transfer',
      () => runtime.enqueue(ok, 1, { transfer: [new Uint8Array(1)] as never }),
      /is a Uint8Array; expected an ArrayBuffer: give its \.buffer/,
    ],
    [
      'an unknown key of unique',
      () => runtime.enqueue(ok, 1, { unique: { keys: 'x' } as never }),
      /unknown option "unique\.keys"\. Did you mean "key"\?/,
    ],
    ['an empty key', () => runtime.enqueue(ok, 1, { key: '' }), /"key" is ""; expected a non-empty string/],
    ['a key with NUL', () => runtime.enqueue(ok, 1, { key: 'a\0b' }), /without NUL and lone surrogates/],
    [
      'unique with for and replace',
      () => runtime.enqueue(ok, 1, { unique: { for: 5, replace: true } }),
      /"unique\.for" is 5; expected neither `while` nor `replace` beside it/,
    ],
    [
      'unique with pending and replace',
      () => runtime.enqueue(ok, 1, { unique: { while: 'pending', replace: true } }),
      /expected 'waiting' beside `replace`/,
    ],
    [
      'enqueueMany()',
      () => runtime['enqueueMany'](undefined as never),
      /^enqueueMany: the list is missing; expected an array of \{ task, payload, options \}/,
    ],
    [
      'enqueueMany(task, payloads)',
      () => runtime['enqueueMany'](ok as never),
      /expected an array of .*Write enqueueMany\(\[/,
    ],
    [
      'enqueueMany(a revoked proxy)',
      () => runtime['enqueueMany'](revokedProxy() as never),
      /^enqueueMany: the list is an object; expected an array/,
    ],
    [
      'enqueueMany(a list that throws)',
      () => runtime['enqueueMany'](new Proxy([1], { get: throwOwn }) as never),
      /^enqueueMany: the list cannot be read: mine/,
    ],
    [
      'enqueueMany([null])',
      () => runtime['enqueueMany']([null] as never),
      /^enqueueMany: entry 0 is null; expected an object such as \{ task, payload, options \}/,
    ],
    [
      'enqueueMany([{ name }])',
      () => runtime['enqueueMany']([{ name: 'ok' }] as never),
      /^enqueueMany: entry 0 has the unknown key "name"\. Known: task, payload, options/,
    ],
    [
      'enqueueMany with opts',
      () => runtime['enqueueMany']([{ task: ok, opts: {} }] as never),
      /entry 0 has the unknown key "opts"\. Did you mean "options"\?/,
    ],
    [
      'enqueueMany with a bad second payload',
      () =>
        runtime.enqueueMany([
          { task: ok, payload: 1 },
          { task: mail, payload: {} as never },
        ]),
      /^entry 1: The payload of "mail\.send" is not valid/,
    ],
    [
      'job(handle)',
      () => runtime['job'](delayed as never),
      /^job: the id is a Job; expected the id of a job, a string\. Give job\.id\./,
    ],
    ['cancel(number)', () => runtime['cancel'](5 as never), /^cancel: the id is 5; expected the id of a job/],
    ['revive()', () => runtime['revive'](undefined as never), /^revive: the id is missing/],
    ['remove({})', () => runtime['remove']({} as never), /^remove: the id is an object/],
    ['jobs(text)', () => runtime['jobs']('dead' as never), /^jobs: the query is "dead"/],
    [
      'jobs of a failed state',
      () => runtime.jobs({ state: 'failed' as never }),
      /expected one of held, .*dead, or an array of these; did you mean 'dead'/,
    ],
    [
      'jobs of no field of the payload',
      () => runtime.jobs({ payload: {} }),
      /option "payload" is an object; expected fields by their path and what they hold/,
    ],
    [
      'jobs with a function in the payload',
      () => runtime.jobs({ payload: { to: () => 'x' } }),
      /option "payload" is an object; expected fields/,
    ],
    [
      'jobs since a word',
      () => runtime.jobs({ since: 'today' as never }),
      /option "since" is "today"; expected a valid Date/,
    ],
    [
      'jobs in an unknown order',
      () => runtime.jobs({ order: 'up' as never }),
      /expected 'newest' or 'oldest'/,
    ],
    ['jobs of an unknown pool', () => runtime.jobs({ pool: ['nope'] }), /^jobs: no pool is named "nope"/],
    [
      'jobs with a free cursor',
      () => runtime.jobs({ cursor: 'x' }),
      /option "cursor" is "x"; expected `next` of the page/,
    ],
    [
      'jobs with the cursor of another order',
      () => runtime.jobs({ cursor: 'oldest:1' }),
      /option "cursor" is "oldest:1"; expected `next`/,
    ],
    [
      'jobs with a broken cursor',
      () => runtime.jobs({ cursor: 'newest:x' }),
      /option "cursor" is none of this broker/,
    ],
    [
      'jobs with a slip',
      () => runtime.jobs({ tsk: 'mail' } as never),
      /unknown option "tsk". Did you mean "task"/,
    ],
    ['jobs of an unknown task', () => runtime.jobs({ task: 'nope' }), /No task is named "nope"/],
    [
      'removeAll of what runs',
      () => runtime.removeAll({ state: 'running' as never }),
      /expected one of completed, cancelled, skipped, dead/,
    ],
    [
      'on an event of BullMQ',
      () => runtime.on('job:failed' as never, () => {}),
      /^on: the event is "job:failed"; expected the name of an event\. Did you mean "job:dead"\?/,
    ],
    [
      'on without a prefix',
      () => runtime.on('completed' as never, () => {}),
      /Did you mean "job:completed"\?/,
    ],
    ['on("constructor")', () => runtime.on('constructor' as never, () => {}), /Known: job:enqueued/],
    [
      'on without a listener',
      () => runtime.on('job:dead', undefined as never),
      /^on: the listener is missing; expected a function/,
    ],
    ['off without a listener', () => runtime.off('job:dead', {} as never), /^off: the listener is an object/],
    ['pause(number)', () => runtime.pause(3 as never), /^pause: the pool is 3; expected the name of a pool/],
    [
      'unschedule()',
      () => runtime['unschedule'](undefined as never),
      /^unschedule: the id is missing; expected the id of a schedule/,
    ],
    [
      'schedule(task, payload, options)',
      () => runtime['schedule'](ok as never, 1 as never, {} as never, undefined as never),
      /^schedule: the id is an object; expected .*schedule\(id, task, payload, \{ cron \}\)/,
    ],
    [
      'a time zone that is none',
      () => runtime.schedule('n', ok, 1, { cron: '0 3 * * *', timeZone: 'Europe/Berln' }),
      /there is no time zone "Europe\/Berln"/,
    ],
    [
      'a day that never comes',
      () => runtime.schedule('n', ok, 1, { cron: '0 0 30 2 *' }),
      /"0 0 30 2 \*".*never/,
    ],
    [
      'stop(500)',
      () => runtime['stop'](500 as never),
      /^stop: the options are 500; expected an object, such as \{ timeout \}/,
    ],
    [
      "stop({ timeout: '500' })",
      () => runtime.stop({ timeout: '500' as never }),
      /^stop: option "timeout" is "500"; expected milliseconds/,
    ],
    ['stop(null)', () => runtime.stop(null as never), /^stop: the options are null/],
    [
      'stop({ grace })',
      () => runtime.stop({ grace: 5 } as never),
      /^stop: unknown option "grace"\. Known: timeout\./,
    ],
  ])('%s', async (_name, call, message) => {
    const error = await refusalOf(call)
    expect(error.message).toMatch(message)
    expect(runtime.stats().phase).toBe('running')
  })

  test('a task of the same name from another copy of its module is told apart', async () => {
    const twin = defineTask({ name: 'ok', payload: z.any(), handler })
    const error = await refusalOf(() => runtime.enqueue(twin, 1))
    expect(error).toMatchObject({
      code: 'ERR_UNKNOWN_TASK',
      message: expect.stringContaining('another task named "ok"'),
    })
    expect(error.advice).toContain('loaded twice')
  })
})

describe('what a client may read of a refusal', () => {
  test('of an unknown task is its name alone, with the advice apart', async () => {
    const error = await refusalOf(() => runtime.enqueue('okk' as never, 1 as never))
    expect(error.message).toBe('No task is named "okk".')
    expect(error.advice).toContain('Did you mean "ok"? Known tasks: ok, mail.send.')
  })

  test('of a full queue is that it is full, with a header for when to come again', async () => {
    const small = runtimeOf({ maxPending: 1 })
    onTestFinished(() => void small.stop({ timeout: 0 }))
    small.pause()
    small.enqueue(ok, 1)
    expect(() => small.enqueue(ok, 2)).toThrow(
      expect.objectContaining({
        message: 'The queue is full. Try again later.',
        advice: expect.stringMatching(/^1 job is unfinished and maxPending is 1\./),
        headers: { 'retry-after': expect.stringMatching(/^\d+$/) },
      }),
    )
  })
})

describe('values of another realm are taken', () => {
  test('as the time of a job', async () => {
    const runAt = runInNewContext('new Date(4e12)') as Date
    const job = runtime.enqueue(ok, 1, { runAt })
    expect(job.state).toBe('scheduled')
  })

  test('as options, signals and buffers', () => {
    const options = runInNewContext('({ delay: 60_000, transfer: [new ArrayBuffer(4)] })') as JobOptions
    const { signal } = new AbortController()
    const shaped = {
      aborted: false,
      addEventListener: signal.addEventListener.bind(signal),
      removeEventListener: signal.removeEventListener.bind(signal),
    }
    const job = runtime.enqueue(ok, options.transfer, { ...options, signal: shaped as never })
    expect(job.cancel()).toBe(true)
  })
})

describe('what a function of a task makes of a payload', () => {
  const bad = [
    ['a number', () => 5, 'is 5; expected a non-empty string'],
    ['an object', () => ({}), 'is an object; expected a non-empty string'],
    ['an empty string', () => '', 'is ""; expected a non-empty string'],
    ['a promise', () => Promise.reject(new Error('unseen')), 'is a Promise, but adding a job is synchronous'],
    [
      'a thenable',
      // biome-ignore lint/suspicious/noThenProperty: that is what it is about
      () => ({ then: (_: unknown, no: (error: Error) => void) => no(new Error('unseen')) }),
      'is a Promise',
    ],
  ] as const

  test.each(
    bad.flatMap(([what, make, says]) =>
      (['key', 'unique', 'unique.key'] as const).map((option) => [option, what, make, says] as const),
    ),
  )('as %s is refused when it is %s', async (option, _what, make, says) => {
    const given = option === 'unique.key' ? { unique: { key: make } } : { [option]: make }
    const task = defineTask({ name: 'own', payload: z.any(), handler, ...(given as object) })
    const own = runtimeOf({ tasks: [task] })
    onTestFinished(() => void own.stop({ timeout: 0 }))
    const error = await refusalOf(() => own.enqueue(task, 1))
    expect(error).toBeInstanceOf(OptionsInvalidError)
    expect(error.message).toContain(`The ${option.replace('.key', '')} of "own" ${says}`)
    expect(own.stats().pending).toBe(0)
  })

  test('is refused with the cause when the function throws', () => {
    const task = defineTask({
      name: 'own',
      payload: z.any(),
      handler,
      key: (p) => (p as { user: { id: string } }).user.id,
    })
    const own = runtimeOf({ tasks: [task] })
    onTestFinished(() => void own.stop({ timeout: 0 }))
    expect(() => own.enqueue(task, {})).toThrow(
      expect.objectContaining({
        code: 'ERR_OPTIONS_INVALID',
        message: expect.stringContaining(
          'The key function of "own" threw: Cannot read properties of undefined',
        ),
        cause: expect.any(TypeError),
      }),
    )
  })

  test('costs nobody his buffers when it is refused', () => {
    const task = defineTask({ name: 'own', payload: z.any(), handler, key: () => '' })
    const own = runtimeOf({ tasks: [task, ok] })
    onTestFinished(() => void own.stop({ timeout: 0 }))
    const bytes = new ArrayBuffer(8)
    expect(() => own.enqueue(task, { bytes }, { transfer: [bytes] })).toThrow(OptionsInvalidError)
    expect(() => own.enqueue(ok, { bytes }, { transfer: [bytes], unique: true })).toThrow(
      'cannot be compared',
    )
    expect(() => own.enqueue(ok, { bytes }, { transfer: [bytes], runAt: 1.79e9 })).toThrow('runAt')
    expect(() =>
      own.enqueueMany([
        { task: ok, payload: { bytes }, options: { transfer: [bytes] } },
        { task: ok, payload: () => 1 },
      ]),
    ).toThrow(expect.objectContaining({ code: 'ERR_NOT_SERIALIZABLE' }))
    expect(bytes.byteLength).toBe(8)
  })
})

describe('a task is refused where it is defined', () => {
  test.each<[string, object, RegExp]>([
    ['an async key', { key: async () => 'x' }, /"key" is a function; .*not asynchronous/],
    ['an async unique', { unique: async () => 'x' }, /"unique" is a function; .*not asynchronous/],
    [
      'an async key of unique',
      { unique: { key: async () => 'x' } },
      /"unique\.key" is a function; .*not asynchronous/,
    ],
    ['an async when', { when: async () => true }, /not asynchronous/],
    ['a generator as key', { key: function* key() {} }, /not asynchronous/],
    ['retry: 3', { retry: 3 }, /"retry" is 3; expected an object such as \{ maxAttempts: 3/],
    ['backoff: 100', { retry: { backoff: 100 } }, /"retry\.backoff" is 100; expected an object such as/],
    ['retries', { retries: 3 }, /unknown option "retries"\. Did you mean "retry"\?/],
    ['a schema of zod 3.22', { payload: { parse: () => 1 } }, /expected a Standard Schema, .*zod 3\.24/],
    [
      'handler: { file }',
      { handler: { file: handler } },
      /has an unknown key "file"\. Known: module, export/,
    ],
    [
      'a handler without a name',
      { handler: { module: handler, export: 5 } },
      /has an export that is 5; expected the name of an export/,
    ],
  ])('with %s', (_what, options, message) => {
    expect(() => defineTask({ name: 'x', handler, ...options })).toThrow(message)
  })
})

describe('createRuntime', () => {
  test.each<[string, unknown, RegExp]>([
    ['nothing', undefined, /^createRuntime: the options are missing; expected an object, such as \{ tasks, /],
    ['no tasks', { tasks: [] }, /"tasks" is an empty array; expected at least one task/],
    ['a task in place of a list', { tasks: ok }, /expected an array of tasks\. Write tasks: \[ok\]\./],
    [
      'a task that is missing',
      { tasks: [ok, undefined] },
      /tasks\[1\] is missing; expected a task made by defineTask\. Is it exported/,
    ],
    ['a name', { tasks: ['ok'] }, /tasks\[0\] is "ok"; expected a task made by defineTask/],
    [
      'an object that looks like a task',
      { tasks: [{ name: 'x', handler, policy: {} }] },
      /tasks\[0\] is an object/,
    ],
    ['a module without tasks', { tasks: { other: 1 } }, /a module that exports some/],
    [
      'a list of pools',
      { tasks: [ok], pools: [] },
      /"pools" is an empty array; expected an object such as \{ io/,
    ],
    ['a billion threads', { tasks: [ok], pool: { threads: 1e9 } }, /expected at most 1024 threads/],
    ['a billion threads at least', { tasks: [ok], pool: { min: 1e9 } }, /expected at most 1024 threads/],
    ['half a broker', { tasks: [ok], broker: { claim: () => {} } }, /expected a broker/],
    [
      'a broker that lacks a method',
      { tasks: [ok], broker: { ...memoryBroker(), open() {}, close() {}, attempts: { finish() {} } } },
      /expected a broker, such as sqliteBroker\(\{ file \}\); this one has no attempts\.progress\(\)/,
    ],
    [
      'a broker that lacks a capability',
      { tasks: [ok], broker: { ...memoryBroker(), open() {}, close() {}, ready: null } },
      /this one has no ready/,
    ],
  ])('given %s says what it takes', (_what, options, message) => {
    expect(() => createRuntime(options as never)).toThrow(message)
  })

  test('refuses the broker of another runtime as a mistake of the author', () => {
    const broker = memoryBroker()
    const first = runtimeOf({ broker })
    onTestFinished(() => void first.stop({ timeout: 0 }))
    expect(() => runtimeOf({ broker })).toThrow(
      expect.objectContaining({
        code: 'ERR_OPTIONS_INVALID',
        message: expect.stringContaining('another runtime'),
      }),
    )
  })

  test('leaves a broker free when another option was refused', () => {
    const broker = memoryBroker()
    expect(() => runtimeOf({ broker, tasks: [ok, ok] })).toThrow(OptionsInvalidError)
    const next = runtimeOf({ broker })
    onTestFinished(() => void next.stop({ timeout: 0 }))
    expect(next.stats().phase).toBe('running')
  })

  test('that has stopped takes no schedule and is not ready again', async () => {
    const over = runtimeOf()
    await over.stop({ timeout: 0 })
    expect(() => over.schedule('n', ok, 1, { every: 1000 })).toThrow(
      expect.objectContaining({ code: 'ERR_RUNTIME_STOPPED' }),
    )
    await expect(over.ready()).rejects.toMatchObject({ code: 'ERR_RUNTIME_STOPPED' })
  })
})

test('a task names the jobs of a filter as its name does', async () => {
  const { id } = runtime.enqueue(mail, { to: 'ada' }, { delay: 60_000 })
  expect((await runtime.jobs({ task: mail })).jobs.map((job) => job.id)).toContain(id)
  expect(await runtime.reviveAll({ task: mail })).toEqual({ matched: 0, done: 0 })
  expect(await runtime.removeAll({ task: mail })).toEqual({ matched: 0, done: 0 })
})
