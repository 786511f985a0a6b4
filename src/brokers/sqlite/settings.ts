/** What a journal is opened with: the settings of the broker, and what the runtime adds to them. */
import type { JournalSetup } from '../../rules/journal-protocol.ts'
import type { BrokerHost } from '../port/host.ts'

/** What `sqliteBroker` was given, with every default filled in but those that the runtime decides. */
export interface SqliteSettings {
  readonly file: string
  readonly durability: 'power' | 'process'
  readonly isShared: boolean
  /** Only questions are asked of it. Default false. */
  readonly isReadOnly?: boolean
  readonly window: number
  readonly retention: {
    readonly count?: number | undefined
    readonly age?: number | undefined
    readonly dead: number
  }
  /** Bytes of the log that is written ahead, at which what it holds goes into the file. */
  readonly logLimit?: number
  /** How long a transaction waits for another process, in milliseconds. */
  readonly patience?: number
  /** The permissions of files that are made. Default: only their owner may read and write them. */
  readonly mode?: number
  /** How long a process that cannot be looked at from here may take to say that it is there, in milliseconds. */
  readonly answerWithin?: number
  readonly maxPages?: number
  readonly sqliteVersion?: string
  readonly failAt?: JournalSetup['failAt']
}

// Reading so much of it at the next start costs a tenth of a second.
const LOG_LIMIT = 16 * 2 ** 20
const PATIENCE = 10_000
/** The permissions of a journal: payloads are nobody else's to read. */
export const OWNER_ONLY = 0o600
// A journal looks once a second whether somebody asks; a disk, or a machine, may be slow.
const ANSWER_WITHIN = 10_000

/** The setup of a journal; `wall` is the journal's time, and `resume` is the run that it goes on with, when its thread had died; `hurry`: see `Connection`. */
export function setupOf(
  settings: SqliteSettings,
  host: BrokerHost,
  wall: number,
  resume: JournalSetup['resume'],
  hurry: Int32Array,
): JournalSetup {
  const { entries, ageing, retention, idPrefix } = host
  const { file, durability, isShared, isReadOnly = false, window, failAt, maxPages, sqliteVersion } = settings
  const { logLimit = LOG_LIMIT, patience = PATIENCE } = settings
  const { mode = OWNER_ONLY, answerWithin = ANSWER_WITHIN } = settings
  const { count = retention.count, age = retention.age, dead } = settings.retention
  const tasks = entries.map(({ task: { name, policy } }) => {
    const { pool, concurrency, onCrash, maxCrashes, retention: own } = policy
    return { name, pool, concurrency, onCrash, maxCrashes, retention: own }
  })
  return {
    ...{ file, durability, isShared, window, logLimit, patience, mode, answerWithin, hurry },
    ...{ tasks, ageing, idPrefix, wall, retention: { count, age, dead } },
    ...(isReadOnly && { isReadOnly }),
    ...(maxPages && { maxPages }),
    ...(sqliteVersion && { sqliteVersion }),
    ...(resume && { resume }),
    ...(failAt && { failAt }),
  }
}
