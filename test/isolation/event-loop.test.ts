import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { spinFor } from '../fixtures/handlers/iso-misbehave.ts'
import { isoTask, startThreads } from '../kit/threads.ts'

const milliseconds = 400
const task = isoTask('misbehave', 'spinFor')

/** The longest that the event loop was held while `work` ran, in milliseconds. */
async function longestDelay(work: () => Promise<unknown>): Promise<number> {
  let longest = 0
  let before = performance.now()
  const look = (): void => {
    const now = performance.now()
    longest = Math.max(longest, now - before)
    before = now
  }
  const interval = setInterval(look, 1)
  await turn()
  await work()
  await turn()
  clearInterval(interval)
  look()
  return longest
}

test('a handler that spins leaves the event loop free', async () => {
  const runtime = startThreads([task])
  await runtime.ready()
  const delay = await longestDelay(() => runtime.enqueue(task, { milliseconds }).result())
  expect(delay).toBeLessThan(milliseconds / 4)
})

test('the same handler called inline holds the event loop for as long as it spins: the control of the test above', async () => {
  const delay = await longestDelay(async () => spinFor({ milliseconds }))
  expect(delay).toBeGreaterThan(milliseconds * 0.75)
})
