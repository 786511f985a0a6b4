/** The one error of the journal's side, and the codes of SQLite's. */
import type { JournalFault } from '../../src/rules/journal-protocol.ts'

/** Thrown when the file cannot be used; carries what the event loop's side makes a typed error from. */
export class JournalError extends Error {
  readonly fault: JournalFault

  constructor(fault: JournalFault, options: { cause?: unknown } = {}) {
    super(fault.message, options)
    this.fault = fault
  }
}

/** SQLite's primary result code; 0 for an error that is not its own. */
export function codeOf(error: unknown): number {
  const code = error instanceof Error ? Reflect.get(error, 'errcode') : undefined
  return typeof code === 'number' ? code & 0xff : 0
}
