/** The one error of the journal's side. */
import type { JournalFault } from '../../src/rules/journal-protocol.ts'

/** Thrown when the file cannot be used; carries what the event loop's side makes a typed error from. */
export class JournalError extends Error {
  readonly fault: JournalFault

  constructor(fault: JournalFault, options: { cause?: unknown } = {}) {
    super(fault.message, options)
    this.fault = fault
  }
}
