/** What threads do not isolate, as the documentation says, asserted where that does no harm. */
import { expect, test } from 'vitest'
import { isoTask, startThreads } from '../kit/threads.ts'

const forbidden = isoTask('state', 'forbidden')
const processFacts = isoTask('state', 'processFacts')
const holdBuffer = isoTask('state', 'holdBuffer')

test('a handler cannot change directory, umask or user of the process, nor abort it', async () => {
  const umask = process.umask()
  const runtime = startThreads([forbidden])
  const refused = 'ERR_WORKER_UNSUPPORTED_OPERATION'
  expect(await runtime.enqueue(forbidden).result()).toMatchObject({
    chdir: refused,
    umask: refused,
    abort: refused,
  })
  expect(process.umask()).toBe(umask)
})

test("a handler shares the server's process id and working directory", async () => {
  const runtime = startThreads([processFacts])
  expect(await runtime.enqueue(processFacts).result()).toEqual({ pid: process.pid, cwd: process.cwd() })
})

test('the bytes of a Buffer are outside of the heap limits of a thread', async () => {
  const runtime = startThreads([holdBuffer], {
    pool: { threads: 1, resourceLimits: { maxOldGenerationSizeMb: 16 } },
  })
  expect(await runtime.enqueue(holdBuffer, { megabytes: 64 }).result()).toBe(64 * 2 ** 20)
})
