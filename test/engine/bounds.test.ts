/** How large values may be that cross to and from threads, on every way in and out. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { sqliteBroker } from '../../src/brokers/sqlite.ts'
import { payloadBound, unbounded } from '../../src/rules/bounds.ts'
import { encode } from '../../src/rules/codec.ts'
import { move } from '../../src/rules/moved.ts'
import { defineTask } from '../../src/rules/task.ts'
import { collectEvents, failureOf, startThreads } from '../kit/threads.ts'

const module = new URL('../fixtures/handlers/sizes.ts', import.meta.url)
const taskOf = (name: string, more: object = {}) =>
  defineTask({ ...more, name, payload: z.unknown(), handler: { module, export: name } })
const tasks = ['echo', 'nest', 'large', 'bytes', 'moved', 'tell', 'say'].map((name) =>
  taskOf(name, { retry: { maxAttempts: 3, backoff: { delay: 0 } } }),
)
const LIMIT = 1000
const tooLarge = { code: 'ERR_PAYLOAD_TOO_LARGE', status: 413, maxBytes: LIMIT }
const sizes = {
  maxPayloadBytes: LIMIT,
  maxResultBytes: LIMIT,
  maxProgressBytes: LIMIT,
  maxLogBytes: LIMIT,
  maxPendingBytes: 3 * LIMIT,
}
const large = 'x'.repeat(LIMIT)

describe('a payload that is too large', () => {
  const bound = payloadBound('mail', LIMIT)
  const never = {
    get part(): never {
      throw new Error('It was looked at.')
    },
  }

  test.each<[string, unknown]>([
    ['text', large],
    ['text of few characters and many bytes', 'ü'.repeat(LIMIT / 2)],
    ['text that is escaped', '\n'.repeat(LIMIT / 2)],
    ['a list of texts', [large.slice(0, 600), large.slice(0, 600), never]],
    ['a list of numbers', new Array(LIMIT / 2).fill(1)],
    ['a list that is longer than can be looked at', new Array(2 ** 31)],
    ['an object of many keys', Object.fromEntries(Array.from({ length: 250 }, (_, at) => [at, 1]))],
    ['bytes', new Uint8Array(LIMIT)],
    ['a map', new Map([['a', large]])],
    ['a set of bytes', new Set([new Uint8Array(600), new Uint8Array(600), never])],
    ['an error that says much', Object.assign(new Error('no'), { much: large })],
  ])('is refused when it is %s', (_what, value) => {
    expect(() => encode(value, 'payload', bound)).toThrow(expect.objectContaining(tooLarge))
    expect(() => encode({ value }, 'payload', bound)).toThrow(expect.objectContaining(tooLarge))
  })

  test('is refused before what comes after is looked at, and before anything is made of it', () => {
    const text = 'x'.repeat(400)
    expect(() => encode([text, text, text, never], 'payload', bound)).toThrow(
      expect.objectContaining(tooLarge),
    )
    expect(() =>
      encode(
        new Map([
          [1, text],
          [2, text],
          [3, text],
        ]),
        'payload',
        bound,
      ),
    ).toThrow(expect.objectContaining(tooLarge))
  })

  test('is told from one that cannot travel, also where no string could hold it', () => {
    const half = 'x'.repeat(2 ** 28)
    expect(() => encode([half, half], 'payload')).toThrow(
      /payload is too large, which is more than the 511 MB/,
    )
    expect(() => encode({ half }, 'payload', payloadBound('mail', 1))).toThrow(/larger than 1 bytes/)
    expect(() => encode(() => {}, 'payload', bound)).toThrow(/cannot travel/)
  })

  test('keeps its buffers when these were to be moved', () => {
    const bytes = new Uint8Array(LIMIT)
    expect(() => move({ bytes }, [bytes.buffer], 'payload', bound)).toThrow(expect.objectContaining(tooLarge))
    expect(bytes.byteLength).toBe(LIMIT)
  })

  test('is one that has more bytes than it may, and none that has as many', () => {
    const text = 'x'.repeat(LIMIT - 2)
    expect(encode(text, 'payload', bound)).toHaveLength(LIMIT)
    expect(encode('ü'.repeat(LIMIT / 2 - 1), 'payload', bound)).toHaveLength(LIMIT / 2 + 1)
    const twice = new Uint8Array(600)
    expect(encode([twice, twice], 'payload', bound)).toBeInstanceOf(Uint8Array)
    expect(encode([twice, twice], 'payload', unbounded('payload'))).toBeInstanceOf(Uint8Array)
  })
})

describe('a runtime', () => {
  test('refuses a payload that is too large on every way in, and keeps nothing of it', async () => {
    const runtime = startThreads(tasks, sizes)
    const bytes = new Uint8Array(LIMIT)
    const refused = [
      () => runtime.enqueue('echo', large),
      () => runtime.tryEnqueue('echo', large),
      () => runtime.enqueue('echo', bytes, { transfer: [bytes.buffer] }),
      () => runtime.enqueue('echo', large, { unique: true }),
      () => runtime.schedule('s', 'echo' as never, large as never, { every: 1000 }),
    ]
    for (const call of refused) expect(call).toThrow(expect.objectContaining({ ...tooLarge, task: 'echo' }))
    const many = [
      { task: 'echo', payload: 1 },
      { task: 'echo', payload: large },
    ]
    expect(() => runtime.enqueueMany(many)).toThrow(expect.objectContaining(tooLarge))
    expect(await runtime.enqueue('nest', LIMIT).result()).toBe('ERR_PAYLOAD_TOO_LARGE')
    expect([bytes.byteLength, await runtime.schedules(), runtime.stats().completed]).toEqual([LIMIT, [], 1])
    expect(runtime.stats()).toMatchObject({ pending: 0, pendingBytes: 0, maxPendingBytes: 3 * LIMIT })
  })

  test.each(['large', 'bytes', 'moved'])(
    'lets no job that returns too much (%s) be tried again',
    async (name) => {
      const runtime = startThreads(tasks, sizes)
      const job = runtime.enqueue(name, LIMIT)
      expect(await failureOf(job)).toMatchObject({ code: 'ERR_RESULT_TOO_LARGE', maxBytes: LIMIT })
      expect(await job.settled).toMatchObject({ state: 'dead', attempts: 1 })
      expect(await runtime.enqueue(name, LIMIT / 2).settled).toMatchObject({ state: 'completed' })
    },
  )

  test('refuses progress that is too large where it is told, and cuts a line of a log', async () => {
    const runtime = startThreads(tasks, sizes)
    const told = collectEvents(runtime, 'job:progress')
    const lines = collectEvents(runtime, 'job:log')
    expect(await runtime.enqueue('tell', LIMIT).result()).toBe('ERR_PROGRESS_TOO_LARGE')
    expect(await runtime.enqueue('tell', 10).result()).toBe('told')
    await runtime.enqueue('say', LIMIT + 50).result()
    await runtime.enqueue('say', 300).result()
    expect(told).toHaveLength(1)
    expect(lines[0]?.message).toBe(`${large}… (50 characters more)`)
    expect(lines[0]?.data).toMatch(/data is more than 1000 bytes, and is left out/)
    expect([lines[1]?.message.length, lines[1]?.data]).toEqual([300, { data: 'x'.repeat(300) }])
  })

  test('takes no more bytes of payload than maxPendingBytes, and takes some again when jobs have ended', async () => {
    const runtime = startThreads(tasks, sizes)
    const overloads = collectEvents(runtime, 'runtime:overloaded')
    runtime.pause()
    const payload = 'x'.repeat(800)
    const jobs = [1, 2, 3].map(() => runtime.enqueue('echo', payload))
    const full = { code: 'ERR_QUEUE_FULL', status: 503 }
    const bytes = new Uint8Array(700)
    expect(() => runtime.enqueue('echo', payload)).toThrow(expect.objectContaining(full))
    expect(() => runtime.enqueue('echo', payload)).toThrow(
      expect.objectContaining({ advice: expect.stringContaining('maxPendingBytes is 3000') }),
    )
    expect(runtime.tryEnqueue('echo', payload)).toBeNull()
    expect(() => runtime.enqueue('echo', bytes, { transfer: [bytes.buffer] })).toThrow(
      expect.objectContaining(full),
    )
    const two = [1, 2].map(() => ({ task: 'echo', payload: 'x'.repeat(300) }))
    expect(() => runtime.enqueueMany(two)).toThrow(expect.objectContaining(full))
    expect(bytes.byteLength).toBe(700)
    expect(runtime.stats()).toMatchObject({ pending: 3, pendingBytes: 3 * 802 })
    expect(overloads[0]).toMatchObject({ pending: 3, pendingBytes: 3 * 802, maxPendingBytes: 3 * LIMIT })
    const small = runtime.enqueue('echo', 'x'.repeat(500))
    jobs[0]?.cancel()
    expect(runtime.stats()).toMatchObject({ pending: 3, pendingBytes: 2 * 802 + 502 })
    runtime.resume()
    await Promise.all([...jobs, small].map(({ settled }) => settled))
    expect(runtime.stats()).toMatchObject({ pending: 0, pendingBytes: 0 })
  })

  test('counts a job that is equal to one which is there as none, however full it is', async () => {
    const runtime = startThreads(tasks, sizes)
    runtime.pause()
    const payload = 'x'.repeat(990)
    const first = runtime.enqueue('echo', payload, { unique: 'one' })
    runtime.enqueueMany([1, 2].map(() => ({ task: 'echo', payload })))
    expect(runtime.enqueue('echo', payload, { unique: 'one' }).id).toBe(first.id)
    expect(runtime.stats()).toMatchObject({ pending: 3, pendingBytes: 3 * 992 })
  })

  test('counts no payload that waits on the disk of a journal only, and all of those that are not written yet', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'aftertask-bounds-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const broker = sqliteBroker({ file: join(folder, 'j.db'), durability: 'process', window: 2 })
    const runtime = startThreads(tasks, { ...sizes, broker })
    runtime.pause()
    const payload = 'x'.repeat(990)
    for (let count = 0; count < 10; count++) await runtime.enqueue('echo', payload).stored
    expect(runtime.stats().pending).toBe(10)
    expect(runtime.stats().pendingBytes).toBeLessThan(3 * 992)
    expect(() => runtime.enqueueMany([1, 2, 3, 4].map(() => ({ task: 'echo', payload })))).toThrow(
      expect.objectContaining({ code: 'ERR_QUEUE_FULL' }),
    )
    expect(() => runtime.enqueue('echo', large)).toThrow(expect.objectContaining(tooLarge))
    runtime.resume()
    const last = runtime.enqueue('echo', payload)
    expect(await last.settled).toMatchObject({ state: 'completed' })
    await runtime.stop()
    expect(runtime.stats()).toMatchObject({ pending: 0, pendingBytes: 0, completed: 11 })
  })
})
