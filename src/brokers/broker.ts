/** `aftertask/broker`: the broker port, and the parts that a broker can be made of. */
export type { Encoded } from '../rules/codec.ts'
export type { ContentQuery } from '../rules/job-match.ts'
export type { BatchLink, JobExtras, JobRecord } from '../rules/job-record.ts'
export { BATCH_FAILED } from '../rules/journal-protocol.ts'
export type { KeptLine, KeptLog } from '../rules/log-lines.ts'
export type { Moved } from '../rules/moved.ts'
export type { TaskEntry } from '../rules/registry.ts'
export type { WireError } from '../rules/wire-error.ts'
export type { Clock } from '../words/clock.ts'
export { isTerminal, TERMINAL_STATES, UNFINISHED_STATES } from '../words/job.ts'
export { attemptInfo, type KnownAttempt } from './lifecycle/attempts.ts'
export { applyEnding } from './lifecycle/ending.ts'
export { FinishedJobs } from './lifecycle/finished-jobs.ts'
export { fitting } from './lifecycle/job-filter.ts'
export { searchAmong } from './lifecycle/job-search.ts'
export { tallyAmong } from './lifecycle/job-tally.ts'
export { KeptLines } from './lifecycle/kept-lines.ts'
export { LogWriter } from './lifecycle/log-writer.ts'
export { ProgressWriter } from './lifecycle/progress-writer.ts'
export { expiry, hasWaitedTooLong, QueueTimeouts } from './lifecycle/queue-timeouts.ts'
export { type Attempt, type Ending, ranOf } from './port/attempt.ts'
export type {
  AttemptSink,
  Broker,
  BrokerStats,
  Cluster,
  Durability,
  IntakeBroker,
  JobChange,
  JobChanges,
  JobDirectory,
  JobFilter,
  ReadyJobs,
} from './port/broker.ts'
export type { BrokerHost } from './port/host.ts'
export type { ScheduleLease, ScheduleStore, StoredSchedule } from './port/schedules.ts'
export type { Found, JobConditions, JobSearch } from './port/search.ts'
export type { TaskTally } from './port/tally.ts'
export { PoolQueue } from './structures/pool-queue.ts'
export { Timeline } from './structures/timeline.ts'
export { UniqueKeys } from './structures/unique-keys.ts'
