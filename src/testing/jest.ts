/**
 * aftertask/testing/jest: `expect(runtime).toHaveJob(task, payload)` for Jest 30. Importing it, in a test or in
 * `setupFilesAfterEnv`, adds the matcher to Jest's `expect`.
 */
import { expect } from '@jest/globals'
import type { AnyTask } from '../rules/task.ts'
import { matchers } from './matchers.ts'

expect.extend(matchers as never)

declare module 'expect' {
  interface Matchers<R extends void | Promise<void>, T = unknown> {
    /**
     * Asserts that a job of the task was added to a test runtime, with a payload that has all of `payload`: objects in part,
     * everything else whole. With `.not`, that none was.
     */
    toHaveJob(task: AnyTask | string, payload?: unknown): R
  }
}
