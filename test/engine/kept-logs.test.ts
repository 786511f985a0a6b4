import { describe, expect, test, vi } from 'vitest'
import type { LogLine } from '../../src/engine/log.ts'
import type { JobLogLine } from '../../src/words/job.ts'
import { isoTask, type LooseRuntime, startThreads } from '../kit/threads.ts'

const says = isoTask('says', 'says', { onCrash: 'fail' })
const saysMuch = isoTask('says', 'saysMuch', { onCrash: 'fail' })

async function logsOf(runtime: LooseRuntime, id: string): Promise<readonly JobLogLine[]> {
  return (await runtime.job(id, { logs: true }))?.logs ?? []
}

const said = (way: string) => [
  { from: 'log', level: 'info', message: 'begun 1', data: { way } },
  { from: 'stdout', level: 'info', message: 'printed { a: 1 }' },
  { from: 'stderr', level: 'warn', message: 'to stderr' },
  { from: 'log', level: 'debug', message: 'between' },
  { from: 'stdout', level: 'info', message: 'half a line' },
]

function taken(): { lines: LogLine[]; log: (line: LogLine) => void } {
  const lines: LogLine[] = []
  return { lines, log: (line) => void lines.push(line) }
}

describe('what a handler logs and prints', () => {
  test.each(['return', 'throw', 'exit', 'heap', 'spin'])(
    'is kept in order and whole, and told to the logger, when it ends by: %s',
    async (way) => {
      const { lines, log } = taken()
      const pool = { threads: 1, resourceLimits: { maxOldGenerationSizeMb: 32 } }
      const runtime = startThreads([says], { log, pool, killGrace: 1 })
      const timeout = way === 'spin' ? { timeout: 100 } : undefined
      const job = runtime.enqueue(says, { way }, timeout)
      await job.settled
      expect(await logsOf(runtime, job.id)).toMatchObject(said(way))
      const heard = lines.filter(({ from }) => from === 'handler')
      expect(heard.map(({ message }) => message)).toEqual(said(way).map(({ message }) => message))
      expect(heard.map(({ printed }) => printed ?? 'log')).toEqual(said(way).map(({ from }) => from))
      for (const { job: about } of heard) expect(about).toEqual({ id: job.id, name: 'says.says', attempt: 1 })
    },
  )

  test('is kept over all attempts of its job, each line with its attempt and its time', async () => {
    const begun = Date.now()
    const runtime = startThreads([says], { retry: { maxAttempts: 2, backoff: { delay: 0 } } })
    const job = runtime.enqueue(says, { way: 'throw' })
    await job.settled
    const logs = await logsOf(runtime, job.id)
    expect(logs.map(({ attempt }) => attempt)).toEqual([1, 1, 1, 1, 1, 2, 2, 2, 2, 2])
    const times = logs.map(({ at }) => at)
    expect(times).toEqual([...times].sort((one, other) => one - other))
    expect(times[0]).toBeGreaterThanOrEqual(begun - 1)
    expect(times.at(-1)).toBeLessThanOrEqual(Date.now() + 1)
  })

  test('has the id of the request that added the job, for the logger', async () => {
    const { lines, log } = taken()
    const runtime = startThreads([says], { log })
    const batch = runtime.openBatch({ order: 'parallel', onFailure: 'continue' }, { requestId: 'r1' })
    const job = batch.add(says as never, {} as never)
    batch.settle({ statusCode: 200, outcome: 'sent', error: undefined, method: 'GET', url: '/' })
    await job.settled
    expect(lines.map(({ requestId }) => requestId)).toEqual(Array.from(said('return'), () => 'r1'))
  })

  test('goes to the fields of a logger such as pino', async () => {
    const info = vi.fn<(fields: object, message: string) => void>()
    const runtime = startThreads([says], { log: { info, debug: info, warn: info, error: info } })
    const job = runtime.enqueue(says, {})
    await job.settled
    const about = { id: job.id, name: 'says.says', attempt: 1 }
    expect(info.mock.calls[1]).toEqual([{ job: about, printed: 'stdout' }, 'printed { a: 1 }'])
  })

  test('is not in lists, nor in the facts of a job unless it is asked for', async () => {
    const runtime = startThreads([says])
    const job = runtime.enqueue(says, {})
    await job.settled
    expect(await runtime.job(job.id)).not.toHaveProperty('logs')
    expect(job.toJSON()).not.toHaveProperty('logs')
  })

  test.each([false, { lines: 0 }, { bytes: 0 }])('is not kept with logs: %o', async (logs) => {
    const runtime = startThreads([says], { logs: logs as false })
    const job = runtime.enqueue(says, {})
    await job.settled
    expect(await logsOf(runtime, job.id)).toEqual([])
  })

  test('is kept as far as its task says, in place of the runtime; what is missing is told', async () => {
    const few = isoTask('says', 'says', { logs: { lines: 2 } })
    const runtime = startThreads([few], { logs: false })
    const job = runtime.enqueue(few, {})
    await job.settled
    expect(await logsOf(runtime, job.id)).toMatchObject([
      { from: 'runtime', level: 'warn', message: '3 lines are left out here', dropped: 3 },
      { message: 'between' },
      { message: 'half a line' },
    ])
  })

  test.each(['return', 'spin', 'exit'])(
    'without end is kept to its last line, and the middle told to be missing, when it ends by: %s',
    async (way) => {
      const { lines, log } = taken()
      const runtime = startThreads([saysMuch], { log, killGrace: 1, logs: { lines: 3000, bytes: 2 ** 24 } })
      const timeout = way === 'spin' ? { timeout: 500 } : undefined
      const job = runtime.enqueue(saysMuch, { lines: 30_000, way }, timeout)
      await job.settled
      const logs = await logsOf(runtime, job.id)
      expect(logs[999]?.message).toBe('line 1000')
      expect(logs[1000]).toMatchObject({ from: 'runtime', message: expect.stringContaining('1000 lines') })
      const dropped = Number.parseInt(logs[1001]?.message ?? '', 10)
      expect(logs[1001]?.message).toBe(`${dropped} lines are left out here`)
      const last = logs.slice(1002)
      expect(last.map(({ message }) => message)).toEqual(last.map((_, at) => `line ${1001 + dropped + at}`))
      expect(last.at(-1)).toMatchObject({ message: 'line 30000', data: { line: 30_000 } })
      const heard = lines.filter(({ from, job: about }) => from === 'handler' && about !== undefined)
      expect(heard.map(({ message }) => message)).toEqual(logs.map(({ message }) => message))
    },
  )

  test('is not printed where a logger takes it, and printed where none does', async () => {
    const printed: string[] = []
    const write = vi
      .spyOn(process.stdout, 'write')
      .mockImplementation((chunk) => printed.push(String(chunk)) > 0)
    try {
      const quiet = startThreads([says], { log: () => {} })
      await quiet.enqueue(says, {}).settled
      const plain = startThreads([says])
      await plain.enqueue(says, { way: 'return' }).settled
      await Promise.all([quiet.stop(), plain.stop()])
    } finally {
      write.mockRestore()
    }
    expect(printed.join('').match(/printed \{ a: 1 \}/g)).toHaveLength(1)
  })
})

test.each([{ logs: true }, { logs: { lines: -1 } }, { logs: { line: 1 } }])('%o is refused', (options) => {
  expect(() => startThreads([says], options as never)).toThrow(/createRuntime: .*logs/)
  expect(() => isoTask('says', 'says', options as never)).toThrow(/defineTask: .*logs/)
})
