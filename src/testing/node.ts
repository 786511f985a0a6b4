/**
 * aftertask/testing/node: `t.assert.hasJob(runtime, task, payload)` and `t.assert.hasNoJob` for `node:test`. Importing it adds
 * them. They are `expectJob` and `expectNoJob`, which can be called without it; here `t.plan` counts them.
 */
import { assert } from 'node:test'
import { expectJob, expectNoJob } from './assertions.ts'

assert.register('hasJob', expectJob)
assert.register('hasNoJob', expectNoJob)

declare module 'node:test' {
  interface TestContextAssert {
    /** As `expectJob`. */
    hasJob: typeof expectJob
    /** As `expectNoJob`. */
    hasNoJob: typeof expectNoJob
  }
}
