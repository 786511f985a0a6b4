/** Values on their way between real threads. */
import { describe, expect, test } from 'vitest'
import { nextEvent } from '../kit/jobs.ts'
import { failureOf, isoTask, startThreads } from '../kit/threads.ts'

const names = ['nested', 'unreadable', 'bytes', 'platform', 'give', 'giveFunction', 'kindOf', 'line'] as const
const tasks = Object.fromEntries(names.map((name) => [name, isoTask('values', name)])) as Record<
  (typeof names)[number],
  ReturnType<typeof isoTask>
>
const start = () => startThreads(Object.values(tasks))

describe('a result', () => {
  test('nested 3,000 levels deep is read on the event loop', async () => {
    let inner = (await start().enqueue(tasks.nested, 3000).result()) as { next: never } | null
    let depth = 0
    for (; inner !== null; inner = inner.next) depth++
    expect(depth).toBe(3000)
  })

  test('that could be written but not read fails its attempt with a typed error', async () => {
    const runtime = start()
    runtime.on('job:completed', () => {})
    expect(await failureOf(runtime.enqueue(tasks.unreadable))).toMatchObject({ code: 'ERR_NOT_SERIALIZABLE' })
  })

  test('that would arrive empty fails its attempt, with the path and what to send', async () => {
    const error = await failureOf(start().enqueue(tasks.platform))
    expect(error).toMatchObject({ code: 'ERR_NOT_SERIALIZABLE', path: 'the result.deep[0]' })
    expect(error.message).toContain('a URL, which would arrive empty')
  })

  test('is a copy for each who reads it, so that nobody can spoil it for others', async () => {
    const runtime = start()
    const heard: number[] = []
    for (let listener = 0; listener < 2; listener++) {
      runtime.on('job:completed', ({ result }) => {
        const { bytes } = result as { bytes: Uint8Array }
        heard.push(bytes[0] as number)
        bytes[0] = 99
      })
    }
    const job = runtime.enqueue(tasks.bytes)
    const [first, second] = (await Promise.all([job.result(), job.result()])) as {
      bytes: Uint8Array<ArrayBuffer>
    }[]
    expect(heard).toEqual([1, 1])
    if (first !== undefined) first.bytes[0] = 98
    expect(second?.bytes[0]).toBe(1)
    await runtime
      .enqueue(tasks.kindOf, { data: first?.bytes }, { transfer: [first?.bytes.buffer as ArrayBuffer] })
      .result()
    expect(await job.result()).toEqual({ bytes: Uint8Array.of(1, 2, 3) })
    expect((await runtime.jobs({})).jobs).toHaveLength(2)
  })
})

describe('a buffer', () => {
  test.each([true, false])(
    'that a handler gives away arrives as the Buffer that it was (of the pool: %s)',
    async (pooled) => {
      const { buffer } = (await start().enqueue(tasks.give, { pooled }).result()) as { buffer: Buffer }
      expect(Buffer.isBuffer(buffer)).toBe(true)
      expect(buffer.toString()).toBe('abc')
      expect(buffer.buffer.byteLength).toBe(3)
    },
  )

  test('of the pool is copied to the handler, and what lies beside it stays with the caller', async () => {
    const data = Buffer.from('pooled')
    const job = start().enqueue(tasks.kindOf, { data }, { transfer: [data.buffer as ArrayBuffer] })
    expect(data.toString()).toBe('pooled')
    expect(await job.result()).toEqual({ isBuffer: true, text: 'pooled', memory: 6 })
  })

  test('that is moved to the handler is a Buffer there', async () => {
    const data = Buffer.from(new Uint8Array([97]).buffer)
    const job = start().enqueue(tasks.kindOf, { data }, { transfer: [data.buffer as ArrayBuffer] })
    expect(data.byteLength).toBe(0)
    expect(await job.result()).toEqual({ isBuffer: true, text: 'a', memory: 1 })
  })

  test('that the value does not hold is refused on both sides, and nothing is taken', async () => {
    const runtime = start()
    const data = new Uint8Array(8)
    const other = new ArrayBuffer(8)
    expect(() => runtime.enqueue(tasks.kindOf, { data }, { transfer: [data.buffer, other] })).toThrow(
      expect.objectContaining({ code: 'ERR_NOT_SERIALIZABLE', path: 'transfer[1]' }),
    )
    expect([data.byteLength, other.byteLength]).toEqual([8, 8])
    expect(await failureOf(runtime.enqueue(tasks.give, { pooled: false, more: true }))).toMatchObject({
      code: 'ERR_NOT_SERIALIZABLE',
      path: 'transfer[2]',
    })
  })

  test('beside what cannot travel is refused with the path of that', async () => {
    expect(await failureOf(start().enqueue(tasks.giveFunction))).toMatchObject({
      code: 'ERR_NOT_SERIALIZABLE',
      path: 'the result.f',
    })
  })
})

test('a log line whose message has no text is still a line', async () => {
  const runtime = start()
  const told = nextEvent(runtime, 'job:log')
  await runtime.enqueue(tasks.line).result()
  expect((await told).message).toBe('an object')
})
