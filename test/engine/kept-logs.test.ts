import { describe, expect, test, vi } from 'vitest'
import type { Job } from '../../src/engine/job.ts'
import type { LogLine } from '../../src/engine/log.ts'
import type { AnyTask } from '../../src/rules/task.ts'
import type { JobLogLine } from '../../src/words/job.ts'
import { isoTask, isoTaskAs, type LooseRuntime, startThreads } from '../kit/threads.ts'

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

/** Runs a job to its end; one that spins is cancelled once it does. */
async function run(runtime: LooseRuntime, task: AnyTask, payload: object): Promise<Job> {
  const job = runtime.enqueue(task, payload)
  const cancel = (): void => void job.cancel()
  runtime.on('job:progress', cancel)
  await job.settled
  runtime.off('job:progress', cancel)
  return job
}

describe('what a handler logs and prints', () => {
  test('is kept in order and whole, and told to the logger, however its attempt ends', async () => {
    const { lines, log } = taken()
    const pool = { threads: 1, resourceLimits: { maxOldGenerationSizeMb: 32 } }
    const runtime = startThreads([says], { log, pool, killGrace: 1 })
    for (const way of ['return', 'throw', 'exit', 'heap', 'spin']) {
      lines.length = 0
      const job = await run(runtime, says, { way })
      expect(await logsOf(runtime, job.id), way).toMatchObject(said(way))
      const heard = lines.filter(({ from }) => from === 'handler')
      expect(heard.map(({ message }) => message)).toEqual(said(way).map(({ message }) => message))
      expect(heard.map(({ printed }) => printed ?? 'log')).toEqual(said(way).map(({ from }) => from))
      for (const { job: about } of heard) expect(about).toEqual({ id: job.id, name: 'says.says', attempt: 1 })
    }
  })

  test('is kept over all attempts of its job, each line with its attempt and its time', async () => {
    const begun = Date.now()
    const runtime = startThreads([says], { retry: { maxAttempts: 2, backoff: { delay: 0 } } })
    const job = runtime.enqueue(says, { way: 'throw' })
    await job.settled
    const logs = await logsOf(runtime, job.id)
    expect(logs.map(({ attempt }) => attempt)).toEqual([1, 1, 1, 1, 1, 2, 2, 2, 2, 2])
    const times = logs.map(({ at }) => at)
    expect(times).toEqual([...times].sort((one, other) => one - other))
    expect(times[0]).toBeGreaterThanOrEqual(begun - 5)
    expect(times.at(-1)).toBeLessThanOrEqual(Date.now() + 5)
  })

  test('goes to a logger such as pino, with the job, the attempt and the request', async () => {
    const info = vi.fn<(fields: object, message: string) => void>()
    const runtime = startThreads([says], { log: { info, debug: info, warn: info, error: info } })
    const batch = runtime.openBatch({ order: 'parallel', onFailure: 'continue' }, { requestId: 'r1' })
    const job = batch.add(says as never, {} as never)
    batch.settle({ statusCode: 200, outcome: 'sent', error: undefined, method: 'GET', url: '/' })
    await job.settled
    const fields = { job: { id: job.id, name: 'says.says', attempt: 1 }, requestId: 'r1' }
    expect(info.mock.calls[0]).toEqual([{ ...fields, data: { way: 'return' } }, 'begun 1'])
    expect(info.mock.calls[1]).toEqual([{ ...fields, printed: 'stdout' }, 'printed { a: 1 }'])
  })

  test('is kept as far as its task says, in place of the runtime; what is missing is told', async () => {
    const few = isoTaskAs('few', 'says', 'says', { logs: { lines: 2 } })
    const runtime = startThreads([few, says], { logs: false })
    const job = runtime.enqueue(few, {})
    const silent = runtime.enqueue(says, {})
    await Promise.all([job.settled, silent.settled])
    expect(await logsOf(runtime, silent.id)).toEqual([])
    expect(await runtime.job(job.id)).not.toHaveProperty('logs')
    expect(await logsOf(runtime, job.id)).toMatchObject([
      { from: 'runtime', level: 'warn', message: '3 lines are left out here', dropped: 3 },
      { message: 'between' },
      { message: 'half a line' },
    ])
  })

  test('without end is kept to its last line, and the middle told to be missing, however its attempt ends', async () => {
    const { lines, log } = taken()
    const runtime = startThreads([saysMuch], { log, killGrace: 1, logs: { lines: 3000, bytes: 2 ** 24 } })
    for (const way of ['return', 'spin', 'exit']) {
      lines.length = 0
      const job = await run(runtime, saysMuch, { lines: 10_000, way })
      const logs = await logsOf(runtime, job.id)
      expect(logs[999]?.message).toBe('line 1000')
      expect(logs[1000]).toMatchObject({ from: 'runtime', message: expect.stringContaining('1000 lines') })
      const dropped = Number.parseInt(logs[1001]?.message ?? '', 10)
      expect(logs[1001]?.message).toBe(`${dropped} lines are left out here`)
      const last = logs.slice(1002)
      expect(last.map(({ message }) => message)).toEqual(last.map((_, at) => `line ${1001 + dropped + at}`))
      expect(last.at(-1)).toMatchObject({ message: 'line 10000', data: { line: 10_000 } })
      const heard = lines.filter(({ from, job: about }) => from === 'handler' && about !== undefined)
      expect(heard.map(({ message }) => message)).toEqual(logs.map(({ message }) => message))
    }
  })

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
