/** aftertask: background tasks that run after the response has ended, on worker threads. */
// Loads the types of Node where `tsc --init` has set `types: []`: `req.after` is declared on its requests.
/// <reference types="node" preserve="true" />

export type { MemoryOptions } from './brokers/memory.ts'
export { memoryBroker } from './brokers/memory.ts'
export type { Broker, BrokerStats } from './brokers/port/broker.ts'
export type { BrokerHost } from './brokers/port/host.ts'
export type { WaitUntilOptions } from './engine/awaited-promises.ts'
export type { BulkOptions, BulkQuery, BulkResult } from './engine/bulk.ts'
export type { Job } from './engine/job.ts'
export type { ActorOptions, RunAgainOptions } from './engine/job-actions.ts'
export type { JobChangeOptions } from './engine/job-changes.ts'
export type { Logger, LogLevel, LogLine, LogOption } from './engine/log.ts'
export type { FailureGroup, StateCounts } from './engine/overview.ts'
export type { AnyRuntime, Runtime } from './engine/runtime.ts'
export { createRuntime } from './engine/runtime.ts'
export type { RuntimeMetrics } from './engine/runtime-metrics.ts'
export type { JobsOf, RuntimeOptions, RuntimeStats, TaskList, TasksIn } from './engine/runtime-options.ts'
export type { ScheduleInfo } from './engine/schedule-definition.ts'
export type { ScheduleOptions } from './engine/schedule-times.ts'
export type { StopReport, Unfinished } from './engine/stopping.ts'
export type { JobEvent, JobEventName } from './engine/task-listeners.ts'
export type { Telemetry, TracedAttempt, TracedJob } from './engine/telemetry.ts'
export { after, waitUntil } from './http/context.ts'
export type { After, TryAfter } from './http/req-after.ts'
export type { Shutdown, ShutdownOptions, ShutdownReport } from './http/shutdown.ts'
export { shutdown } from './http/shutdown.ts'
export type {
  ManyEntry,
  NamedTask,
  PayloadAndOptions,
  ResultOfCall,
  TaskNamed,
  TaskOf,
} from './rules/calls.ts'
export type { Handler, HandlerContext, HandlerLog, MovedResult, NestedJobOptions } from './rules/handler.ts'
export type { HandlerRef, ModuleUrl } from './rules/handler-location.ts'
export type { FailureQuery, JobPage, JobQuery } from './rules/job-query.ts'
export type { Register, RegisteredTask } from './rules/registry.ts'
export type { Backoff, RetryPolicy } from './rules/retry.ts'
export type { PoolOptions } from './rules/runtime-schemas.ts'
export type { StandardIssue, StandardResult, StandardSchema } from './rules/standard-schema.ts'
export type {
  AnyTask,
  ParsedPayloadOf,
  PayloadOf,
  ResultOf,
  Task,
  TaskOptions,
  TaskPolicy,
} from './rules/task.ts'
export { defineTask } from './rules/task.ts'
export type { ErrorDetails, HandlerProblem, PayloadIssue } from './words/errors.ts'
export {
  AftertaskError,
  BrokerUnavailableError,
  BundledError,
  ControlUnavailableError,
  HandlerNotFoundError,
  InsideThreadError,
  JobForgottenError,
  JobLostError,
  JournalCorruptError,
  JournalLockedError,
  JournalSchemaError,
  LeaseLostError,
  NodeVersionError,
  NonErrorThrownError,
  NoRequestError,
  NoResponseError,
  NotSerializableError,
  OptionsInvalidError,
  OutOfMemoryError,
  PayloadInvalidError,
  PayloadNotKeptError,
  PayloadTooLargeError,
  PeerMissingError,
  ProcessExitedError,
  ProgressTooLargeError,
  QueueFullError,
  QueueTimeoutError,
  ResultInvalidError,
  ResultTooLargeError,
  RuntimeStoppedError,
  SqliteVersionError,
  TaskCancelledError,
  TaskSkippedError,
  TaskTimeoutError,
  ThreadExitedError,
  ThreadStartError,
  UnknownTaskError,
  UnrecoverableError,
} from './words/errors.ts'
export type { AuditSubject, EventJob, EventName, Listener, RuntimeEvents } from './words/events.ts'
export type {
  AttemptInfo,
  AttemptOutcome,
  JobInfo,
  JobOptions,
  JobState,
  ResponseFacts,
  Settlement,
  TerminalState,
  TimelineEntry,
  UniqueTerms,
  When,
} from './words/job.ts'
