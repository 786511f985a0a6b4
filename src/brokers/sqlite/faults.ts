/** What is wrong with a journal, as the error that fits. */
import type { JournalFault } from '../../rules/journal-protocol.ts'
import {
  type AftertaskError,
  BrokerUnavailableError,
  JournalCorruptError,
  JournalLockedError,
  JournalSchemaError,
  SqliteVersionError,
} from '../../words/errors.ts'

/** The typed error of a fault. */
export function errorOfFault({ kind, message, owner }: JournalFault): AftertaskError {
  switch (kind) {
    case 'locked':
      return new JournalLockedError(message, owner)
    case 'schema':
      return new JournalSchemaError(message)
    case 'corrupt':
      return new JournalCorruptError(message)
    case 'version':
      return new SqliteVersionError(message)
    default:
      return new BrokerUnavailableError(kind, message)
  }
}

/** The typed error of a fault that befalls a file which was open: it may pass. */
export function passingError({ kind, message }: JournalFault): BrokerUnavailableError {
  return new BrokerUnavailableError(kind, message)
}

/** The error of a thread that died, or (`isFirst`) that never was. */
export function threadError(cause: Error | undefined, isFirst: boolean): BrokerUnavailableError {
  const why = cause === undefined ? 'it ended without a word' : cause.message
  const options = cause === undefined ? {} : { cause }
  const message = isFirst
    ? `The journal's thread could not be started (${why}).`
    : `The journal's thread is gone (${why}); it is started again.`
  return new BrokerUnavailableError('thread', message, options)
}
