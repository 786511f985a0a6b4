/** The same tests for every runner: a shop that charges a card after the response. */
import { strictEqual } from 'node:assert/strict'
import { defineTask } from 'aftertask'
import { createTestRuntime } from 'aftertask/testing'

/** @type {import('aftertask').StandardSchema<any, any>} */
const payload = { '~standard': { version: 1, vendor: 'none', validate: (value) => ({ value }) } }
const charge = defineTask({
  name: 'card.charge',
  payload,
  retry: { maxAttempts: 2, backoff: { type: 'fixed', delay: 60_000, jitter: false } },
  handler: new URL('./charge-card.js', import.meta.url),
})

/**
 * What a runner is to do in its own words: `has` and `hasNone` assert that a job was added, or none; `fails` that a function
 * throws, with a message that has a text.
 * @typedef {{ has: Function, hasNone: Function, fails: (run: () => void, text: string) => void }} Words
 */

/** @type {[string, (words: Words) => Promise<void>][]} */
export const cases = [
  [
    'a job is found by part of its payload',
    async ({ has, hasNone, fails }) => {
      await using runtime = createTestRuntime({ tasks: [charge], mode: 'manual' })
      runtime.enqueue(charge, { order: '17', amount: 5 })
      has(runtime, charge, { order: '17' })
      has(runtime, 'card.charge')
      hasNone(runtime, charge, { order: '18' })
      fails(
        () => has(runtime, charge, { order: '18' }),
        'What was added:\n  "card.charge" {"order":"17","amount":5}',
      )
      fails(() => hasNone(runtime, charge), 'and none was to be')
    },
  ],
  [
    'a job is tried again after a minute of the clock of the test',
    async () => {
      await using runtime = createTestRuntime({ tasks: [charge] })
      const job = runtime.enqueue(charge, { order: '17' })
      await runtime.waitFor(charge, { state: 'retryable' })
      await runtime.clock.advance('1m')
      strictEqual(await job.result(), 'receipt of 17, attempt 2')
    },
  ],
  [
    'a job runs on a real thread',
    async () => {
      await using runtime = createTestRuntime({ tasks: [charge], mode: 'threads' })
      runtime.enqueue(charge, { order: '17' })
      strictEqual((await runtime.drain({ scheduled: true })).completed, 1)
    },
  ],
  [
    'a payload that does not travel is refused',
    async ({ fails }) => {
      await using runtime = createTestRuntime({ tasks: [charge] })
      fails(() => void runtime.enqueue(charge, { order: () => {} }), 'payload.order is a function')
    },
  ],
]
