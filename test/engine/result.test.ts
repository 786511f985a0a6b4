/** What becomes of a `result()` that nobody waits for. */
import { expect, onTestFinished, test } from 'vitest'
import { failureOf, isoTask, startThreads } from '../kit/threads.ts'

const failing = isoTask('crash', 'crashThenFail')

test('a result() that nobody waits for is no unhandled rejection when its job fails, and rejects for whoever asks later', async () => {
  const unhandled: unknown[] = []
  const note = (reason: unknown): void => void unhandled.push(reason)
  process.on('unhandledRejection', note)
  onTestFinished(() => void process.off('unhandledRejection', note))
  const runtime = startThreads([failing])
  const job = runtime.enqueue(failing, { crashes: 0 })
  const result = job.result()
  await job.settled
  // Node tells of unhandled rejections before the next turn.
  await new Promise((resolve) => setImmediate(resolve))
  expect(unhandled).toEqual([])
  await expect(result).rejects.toThrow()
  expect(await failureOf(job)).toBeInstanceOf(Error)
})
