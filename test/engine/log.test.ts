import { inspect } from 'node:util'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { Log, type LogLine, type LogOption } from '../../src/engine/log.ts'
import { say } from '../fixtures/log-tasks.ts'
import { startThreads } from '../kit/threads.ts'

/** What is written to stderr while a test runs; nothing of it comes out. */
function stderr(): { text: string; next: (part: string) => Promise<void> } {
  const seen = { text: '', waiting: [] as { part: string; resolve: () => void }[] }
  vi.spyOn(process.stderr, 'write').mockImplementation((chunk) => {
    seen.text += String(chunk)
    for (const { part, resolve } of seen.waiting) if (seen.text.includes(part)) resolve()
    return true
  })
  const next = (part: string): Promise<void> =>
    new Promise((resolve) => {
      if (seen.text.includes(part)) resolve()
      else seen.waiting.push({ part, resolve })
    })
  return Object.assign(seen, { next })
}

afterEach(() => void vi.restoreAllMocks())

describe('the option log', () => {
  test('true writes the lines of handlers to stderr, but for debug, as long as nobody listens', async () => {
    const written = stderr()
    const runtime = startThreads([say], { log: true })
    const job = runtime.enqueue(say, ['debug', 'info', 'warn'])
    await job.settled
    expect(written.text).toBe(
      `aftertask: log.say (job ${job.id}) info: it is info { n: 1 }\naftertask: log.say (job ${job.id}) warn: it is warn { n: 2 }\n`,
    )
    runtime.on('job:log', () => {})
    await runtime.enqueue(say, ['info']).settled
    expect(written.text.split('\n')).toHaveLength(3)
  })

  test('true shows below a dead job where its handler threw, and the causes behind that', async () => {
    const written = stderr()
    const runtime = startThreads([say], { log: true })
    await runtime.enqueue(say, ['throw']).settled
    await written.next('caused by')
    const [first, frame, ...rest] = written.text.trimEnd().split('\n')
    expect(first).toMatch(/^aftertask: job \S+ \(log\.say\) is dead after 1 attempt: TypeError: broken$/)
    expect(frame).toMatch(/^ {4}at .*log-say\.ts:\d+:\d+/)
    expect(rest.find((line) => line.startsWith('  caused by'))).toBe('  caused by Error: the disk is full')
    expect(written.text).not.toMatch(/node:internal|job-runner/)
  })

  test('false writes nothing', async () => {
    const written = stderr()
    const runtime = startThreads([say], { log: false })
    await runtime.enqueue(say, ['info', 'throw']).settled
    expect(written.text).toBe('')
  })

  test('a function gets every line as data, whether somebody listens or not', async () => {
    const lines: LogLine[] = []
    const runtime = startThreads([say], { log: (line: LogLine) => void lines.push(line) })
    runtime.on('job:log', () => {}).on('job:dead', () => {})
    const job = runtime.enqueue(say, ['debug', 'throw'])
    await job.settled
    const about = { id: job.id, name: 'log.say', attempt: 1 }
    expect(lines).toMatchObject([
      { from: 'handler', level: 'debug', message: 'it is debug', data: { n: 0 }, job: about },
      { from: 'runtime', level: 'error', job: about, error: { message: 'broken' } },
    ])
  })

  test('a logger gets the fields and then the message, on the method of the level', async () => {
    const calls: unknown[] = []
    class Own {
      debug = (): void => {}
      warn = (): void => {}
      info(this: Own, fields: object, message: string): void {
        calls.push(['info', this instanceof Own, fields, message])
      }
      error(fields: object, message: string): void {
        calls.push(['error', fields, message])
      }
    }
    const runtime = startThreads([say], { log: new Own() })
    const job = runtime.enqueue(say, ['info', 'throw'])
    await job.settled
    const about = { id: job.id, name: 'log.say', attempt: 1 }
    expect(calls).toMatchObject([
      ['info', true, { job: about, data: { n: 0 } }, 'it is info'],
      ['error', { job: about, err: { message: 'broken' } }, expect.stringContaining('is dead')],
    ])
  })

  test.each<[string, LogOption]>([
    [
      'throws',
      () => {
        throw new Error('no disk')
      },
    ],
    [
      'rejects',
      async () => {
        throw new Error('no disk')
      },
    ],
  ])('a function that %s is told of once, and costs nobody a job', async (_, log) => {
    const written = stderr()
    const runtime = startThreads([say], { log })
    const jobs = [runtime.enqueue(say, ['info']), runtime.enqueue(say, ['info', 'info'])]
    for (const job of jobs) expect((await job.settled).state).toBe('completed')
    await written.next('no disk')
    expect(written.text.match(/the option "log" threw: Error: no disk/g)).toHaveLength(1)
  })

  test('what a terminal would obey is written as text', () => {
    const written = stderr()
    new Log(true).say('red \u001b[31m bell \u0007 back \u202e line\nnext')
    expect(written.text).toBe('aftertask: red \\u001b[31m bell \\u0007 back \\u202e line\\u000anext\n')
  })
})

describe('console.log', () => {
  test('of a job shows its id, name and state', () => {
    const job = startThreads([say]).enqueue(say, [])
    expect(inspect(job)).toBe(`Job { id: '${job.id}', name: 'log.say', state: '${job.state}' }`)
  })

  test('of a runtime shows its phase, what is pending, its tasks and its pools', () => {
    expect(inspect(startThreads([say]))).toMatch(
      /^Runtime \{\s+phase: 'running',\s+pending: 0,\s+tasks: \[ 'log\.say' \],\s+pools: \{/,
    )
  })
})

test('what a listener throws or rejects with is told, even where it cannot be read', async () => {
  const lines: string[] = []
  const runtime = startThreads([say], { log: ({ message }) => void lines.push(message) })
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  // biome-ignore lint/suspicious/noThenProperty: a promise of another library
  const foreign = { then: (_: unknown, rejected: (error: unknown) => void) => rejected(new Error('late')) }
  const listeners: (() => unknown)[] = [
    () => {
      throw proxy
    },
    () => foreign,
  ]
  for (const listener of listeners) runtime.on('job:enqueued', listener as () => void)
  await runtime.enqueue(say, ['info']).settled
  expect(lines.filter((line) => line.startsWith('a listener'))).toEqual([
    expect.stringMatching(/^a listener for "job:enqueued" threw: .*[Pp]roxy|an object/),
    'a listener for "job:enqueued" threw: Error: late',
  ])
})
