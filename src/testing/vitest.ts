/**
 * aftertask/testing/vitest: `expect(runtime).toHaveJob(task, payload)` for Vitest 4 and 5. Importing it, in a test or in
 * `setupFiles`, adds the matcher to Vitest's `expect`.
 */
import { expect } from 'vitest'
import type { AnyTask } from '../rules/task.ts'
import { matchers } from './matchers.ts'

expect.extend(matchers)

declare global {
  // Vitest's own interface for matchers has other parameters in each major; this one, on which it stands, has none.
  // biome-ignore lint/style/noNamespace: it is Chai's.
  namespace Chai {
    interface Assertion {
      /**
       * Asserts that a job of the task was added to a test runtime, with a payload that has all of `payload`: objects in part,
       * everything else whole. With `.not`, that none was.
       */
      toHaveJob(task: AnyTask | string, payload?: unknown): void
    }
  }
}
