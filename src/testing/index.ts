/** aftertask/testing: tests of an app and its handlers, with no server, no store and no sleeps. Importing it changes nothing. */
export type { AddedJob } from './added-jobs.ts'
export { expectJob, expectNoJob, type PayloadPart } from './assertions.ts'
export type {
  IsolationFinding,
  IsolationKind,
  IsolationReport,
  TriedHandler,
} from './isolation-report.ts'
export { type IsolationOptions, isolationSuite } from './isolation-suite.ts'
export type { TestClock } from './test-clock.ts'
export type {
  Drained,
  DrainOptions,
  MockOf,
  Mocks,
  Performed,
  TestMode,
  TestRuntimeOptions,
  WaitForOptions,
} from './test-options.ts'
export { type AnyTestRuntime, createTestRuntime, TestRuntime } from './test-runtime.ts'
