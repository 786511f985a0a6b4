import { expect, test } from 'vitest'
import { OutOfMemoryError } from '../../src/words/errors.ts'
import { addTogether, failureOf, isoTask, startThreads } from '../kit/threads.ts'

const ok = isoTask('misbehave', 'ok')
const eatMemory = isoTask('misbehave', 'eatMemory', { onCrash: 'fail' })
const resourceLimits = { maxOldGenerationSizeMb: 24 }

test('a handler that runs out of memory ends its own attempt, and the next job succeeds', async () => {
  const runtime = startThreads([ok, eatMemory], { pool: { threads: 1, resourceLimits } })
  const error = await failureOf(runtime.enqueue(eatMemory))
  expect(error).toBeInstanceOf(OutOfMemoryError)
  expect(error).toMatchObject({ code: 'ERR_OUT_OF_MEMORY', cause: { code: 'ERR_WORKER_OUT_OF_MEMORY' } })
  expect(await runtime.enqueue(ok, 'next').result()).toBe('next')
})

test('a handler that runs out of memory in a bundle costs its neighbours no attempt', async () => {
  const runtime = startThreads([ok, eatMemory], {
    pool: { threads: 1, resourceLimits },
    bundles: { milliseconds: Number.POSITIVE_INFINITY, max: 3 },
  })
  await runtime.ready()
  const [before, culprit, after] = addTogether(runtime, () => [
    runtime.enqueue(ok, 0),
    runtime.enqueue(eatMemory),
    runtime.enqueue(ok, 2),
  ])
  expect(await culprit?.settled).toMatchObject({ state: 'dead', attempts: 1 })
  for (const job of [before, after])
    expect(await job?.settled).toMatchObject({ state: 'completed', attempts: 1 })
})

test.each([64, 128])(
  'a handler that needs more at once than a heap of %i MB has ends its own attempt, not the process',
  async (maxOldGenerationSizeMb) => {
    const push = isoTask('misbehave', 'pushWithoutEnd', { onCrash: 'fail' })
    const runtime = startThreads([ok, push], {
      pool: { threads: 1, resourceLimits: { maxOldGenerationSizeMb } },
    })
    expect(await failureOf(runtime.enqueue(push))).toMatchObject({ code: 'ERR_OUT_OF_MEMORY' })
    expect(await runtime.enqueue(ok, 'next').result()).toBe('next')
  },
)

test('a handler that keeps little is not ended for the garbage that it makes', async () => {
  const garbage = isoTask('misbehave', 'makeGarbage', { onCrash: 'fail' })
  const runtime = startThreads([garbage], { pool: { threads: 1, resourceLimits } })
  expect(await runtime.enqueue(garbage, { milliseconds: 500 }).result()).toBe(100_000)
})
