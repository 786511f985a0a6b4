import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { inspect } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import type { LogLine } from '../../src/engine/log.ts'
import type { Telemetry } from '../../src/engine/telemetry.ts'
import { EVENT_NAMES } from '../../src/words/events.ts'
import { failureOf, isoTask, startThreads } from '../kit/threads.ts'

const SECRETS = ['hunter2-of-old', '4242-4242-4242']
const payload = { password: SECRETS[0], card: { number: SECRETS[1] }, user: 'u1' }
const redact = ['card.number', 'payload.card.number']
const leak = isoTask('secrets', 'leak', { redact, retry: { maxAttempts: 2, backoff: { delay: 0 } } })
const give = isoTask('secrets', 'give', { redact })

/** All that leaves a program while a test runs, as text. */
function everythingThatLeaves(): { text: () => string; add: (value: unknown) => void; telemetry: Telemetry } {
  const left: string[] = []
  const add = (value: unknown): void =>
    void left.push(
      inspect(value, { depth: 20, showHidden: true, maxStringLength: null }),
      JSON.stringify(value) ?? '',
    )
  for (const name of EVENT_NAMES) {
    const hear = (event: unknown): void => add([name, event])
    subscribe(`aftertask:${name}`, hear)
    onTestFinished(() => void unsubscribe(`aftertask:${name}`, hear))
  }
  const telemetry: Telemetry = {
    threadModule: undefined,
    added: (...given) => void add(given),
    sent: (...given) => void add(given),
    takenBack: () => {},
    ended: (...given) => add(given),
  }
  return { text: () => left.join('\n'), add, telemetry }
}

test('a secret in payload, error, log and result is found nowhere in what leaves the program', async () => {
  const { text, add, telemetry } = everythingThatLeaves()
  const runtime = startThreads([leak, give], { telemetry, log: (line: LogLine) => add(line) })
  runtime.on('job:log', add)
  const dead = runtime.enqueue(leak, payload)
  const given = runtime.enqueue(give, payload)
  await Promise.all([dead.settled, given.settled])
  for (const job of [dead, given]) add([job, await runtime.job(job.id), job.toJSON()])
  add([await runtime.jobs(), runtime.metrics(), runtime.stats()])
  for (const secret of SECRETS) expect(text()).not.toContain(secret)
  for (const shown of [
    'was declined',
    'DECLINED',
    'job:retrying',
    'job:dead',
    'job:log',
    'job:completed',
    'u1',
  ])
    expect(text(), 'the rest is there').toContain(shown)
})

test('the program itself gets errors and results as they are', async () => {
  const runtime = startThreads([leak, give])
  const heard: unknown[] = []
  runtime.on('job:dead', ({ error }) => void heard.push(error.message))
  runtime.on('job:progress', ({ progress }) => void heard.push(progress))
  const job = runtime.enqueue(leak, payload)
  const [, number] = SECRETS
  expect((await failureOf(job)).message).toBe(`card ${number} was declined`)
  expect(job.progress).toMatchObject({ card: payload.card })
  expect(heard).toContain(`card ${number} was declined`)
  expect(heard).toContainEqual({ card: payload.card, note: payload.password })
  expect(await runtime.enqueue(give, payload).result()).toMatchObject({
    token: payload.password,
    card: payload.card,
  })
})

test('redact: false hides what the paths of a task lead to, and nothing for its name', async () => {
  const runtime = startThreads([give], { redact: false })
  const job = runtime.enqueue(give, payload)
  await job.settled
  expect(job.toJSON().result).toMatchObject({ token: payload.password, card: { number: '[redacted]' } })
})

test('names of the runtime are secret as well, and instead of the default ones where it says so', async () => {
  const runtime = startThreads([give], { redact: { names: ['length'], defaults: false } })
  const job = runtime.enqueue(give, payload)
  await job.settled
  expect(job.toJSON().result).toMatchObject({ token: payload.password, length: '[redacted]' })
})

test.each([
  { redact: true },
  { redact: ['iban'] },
  { redact: { name: ['iban'] } },
  { redact: { names: 'iban' } },
])('%o is refused by createRuntime', (options) => {
  expect(() => startThreads([give], options as never)).toThrow(/createRuntime: .*redact/)
})
