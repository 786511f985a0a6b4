/** Runs in every test file: the file fails when it ends with a worker thread alive or a server listening. */
import { afterAll, expect } from 'vitest'
import { watchLeaks } from './leaks.ts'

const watch = watchLeaks(() => {
  const { currentTestName } = expect.getState()
  return currentTestName === undefined ? 'outside of the tests' : `in "${currentTestName}"`
})

// The first hook of the file, so vitest runs it last: the file's own hooks have cleaned up by then.
afterAll(async () => {
  const leaks = await watch.leaks()
  watch.stop()
  await watch.end()
  if (leaks.length > 0) throw new Error(`This file leaks:\n- ${leaks.join('\n- ')}`)
})
