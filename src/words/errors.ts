/**
 * Every error that aftertask throws or rejects with: one base class, one subclass and one stable code each.
 * It imports no more than words, so a handler can take `UnrecoverableError` from `aftertask/errors`
 * without loading the engine into its thread.
 */
export { AftertaskError, type ErrorDetails } from './aftertask-error.ts'
export {
  BrokerUnavailableError,
  JournalCorruptError,
  JournalLockedError,
  JournalSchemaError,
  LeaseLostError,
  SqliteVersionError,
} from './broker-errors.ts'
export {
  NoRequestError,
  NoResponseError,
  NotSerializableError,
  OptionsInvalidError,
  PayloadInvalidError,
  type PayloadIssue,
  PayloadNotKeptError,
  PayloadTooLargeError,
  ProgressTooLargeError,
  QueueFullError,
  ResultInvalidError,
  RuntimeStoppedError,
  UnknownTaskError,
} from './call-errors.ts'
export { describeValue } from './describe.ts'
export {
  isUnrecoverable,
  JobForgottenError,
  JobLostError,
  NonErrorThrownError,
  OutOfMemoryError,
  ProcessExitedError,
  QueueTimeoutError,
  ResultTooLargeError,
  TaskCancelledError,
  TaskSkippedError,
  TaskTimeoutError,
  ThreadExitedError,
  UnrecoverableError,
} from './job-errors.ts'
export {
  BundledError,
  ControlUnavailableError,
  HandlerNotFoundError,
  type HandlerProblem,
  InsideThreadError,
  NodeVersionError,
  PeerMissingError,
  ThreadStartError,
} from './start-errors.ts'
