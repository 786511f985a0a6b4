/** What an event loop that stood still hears late: it counts as what it was when it happened. */
import { existsSync, writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { memoryBroker } from '../../src/brokers/memory.ts'
import type { Broker } from '../../src/brokers/port/broker.ts'
import { sqliteBroker } from '../../src/brokers/sqlite.ts'
import { LeapingClock } from '../kit/leaping-clock.ts'
import { nextEvent } from '../kit/next-event.ts'
import { tempFolder } from '../kit/temp-folder.ts'
import { isoTask, startThreads } from '../kit/threads.ts'

const folder = tempFolder('late-news')

// Far more than a test can take by itself: only a leap gets there.
const HOUR = 3_600_000

/** A job that has failed while the event loop stands still, which has not heard of it yet. */
async function failedUnheard(broker: Broker, options: { timeout?: number; unrecoverable?: boolean } = {}) {
  const clock = new LeapingClock()
  const task = isoTask('misbehave', 'failAndTell', { retry: { maxAttempts: 3, backoff: { delay: 0 } } })
  const runtime = startThreads([task], { broker, killGrace: 2 * HOUR }, { clock })
  const { timeout = 5 * HOUR, unrecoverable = false } = options
  const [go, told] = [folder.newFile(), folder.newFile()]
  const started = nextEvent(runtime, 'job:started')
  const maxAttempts = unrecoverable ? 3 : 1
  const job = runtime.enqueue(task, { go, told, unrecoverable }, { timeout, maxAttempts })
  await started
  return {
    runtime,
    job,
    /** From here on nothing is heard until the test awaits something. */
    stand: () => {
      writeFileSync(go, '')
      while (!existsSync(told));
    },
    leap: (milliseconds: number) => clock.leap(milliseconds),
  }
}

describe.each([
  ['memory', memoryBroker],
  ['sqlite', () => sqliteBroker({ file: folder.newFile() })],
])('with the %s broker, a failure that is heard after its time', (_name, broker) => {
  test('is the own error of the handler, not a timeout', async () => {
    const { job, stand, leap } = await failedUnheard(broker(), { timeout: HOUR })
    stand()
    leap(2 * HOUR)
    expect(await job.settled).toMatchObject({ state: 'dead', attempts: 1, error: { code: 'EMINE' } })
  })

  test('gives up for good where the handler did', async () => {
    const { job, stand, leap } = await failedUnheard(broker(), { timeout: HOUR, unrecoverable: true })
    stand()
    leap(2 * HOUR)
    expect(await job.settled).toMatchObject({ state: 'dead', attempts: 1, error: { message: 'never again' } })
  })

  test('is no job that a stop has cut off', async () => {
    const { runtime, job, stand, leap } = await failedUnheard(broker())
    const stopped = runtime.stop({ timeout: HOUR })
    stand()
    leap(2 * HOUR)
    expect(await stopped).toMatchObject({ failed: 1, lost: [], left: [] })
    expect(job.state).toBe('dead')
  })

  test('came before a cancel, which then has nothing to cancel', async () => {
    const { job, stand } = await failedUnheard(broker())
    stand()
    expect(job.cancel()).toBe(false)
    expect(await job.settled).toMatchObject({ state: 'dead', error: { code: 'EMINE' } })
  })
})
