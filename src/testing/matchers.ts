/** Matchers for the `expect` of test runners: they say what was added, as `expectJob` does. */

import { isA, refusal } from '../rules/arguments.ts'
import type { AnyTask } from '../rules/task.ts'
import { jobFault, noJobFault } from './assertions.ts'
import { type AnyTestRuntime, TestRuntime } from './test-runtime.ts'

/** What a matcher answers to its runner. */
export interface MatcherResult {
  readonly pass: boolean
  readonly message: () => string
}

/** The matchers, for `expect.extend`. */
export const matchers = {
  /** Passes when a job of the task was added, with a payload that has all of `payload`. */
  toHaveJob(runtime: unknown, task: AnyTask | string, payload?: unknown): MatcherResult {
    const of = testRuntime(runtime)
    const fault = jobFault(of, task, payload)
    return fault === undefined
      ? { pass: true, message: () => noJobFault(of, task, payload) ?? '' }
      : { pass: false, message: () => fault }
  },
}

function testRuntime(value: unknown): AnyTestRuntime {
  if (isA(value, TestRuntime)) return value
  throw refusal('toHaveJob', 'the value', value, 'what createTestRuntime returned')
}
