/** How a runtime stops with its framework, where the framework has a stop of its own. */
import { refusal } from '../../rules/arguments.ts'

/** Milliseconds that jobs get to finish when nobody has said. */
const DEFAULT = 10_000

/**
 * The time that jobs get to finish once the framework has stopped serving; false leaves the runtime running.
 *
 * @throws OptionsInvalidError when it is neither.
 */
export function readStopTimeout(what: string, given: unknown = DEFAULT): number | false {
  if (given === false || (typeof given === 'number' && given >= 0)) return given
  throw refusal(what, 'the option stopTimeout', given, 'milliseconds, 0 or more, or false')
}
