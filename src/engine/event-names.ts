/** Which events there are to listen to, and what is meant by the name of another. */
import { refusal } from '../rules/arguments.ts'
import { closest } from '../rules/options.ts'
import { EVENT_NAMES, type EventName } from '../words/events.ts'

/**
 * Checks what `on` and `off` are given.
 *
 * @throws OptionsInvalidError when there is no such event, with the nearest one, or the listener is no function.
 */
export function checkListener(call: string, name: unknown, listener: unknown): void {
  const known: readonly string[] = EVENT_NAMES
  if (typeof name !== 'string' || !known.includes(name)) {
    const near = typeof name === 'string' ? (eventNamed(name) ?? closest(name, known)) : undefined
    const remedy = near === undefined ? `Known: ${known.join(', ')}.` : `Did you mean "${near}"?`
    throw refusal(call, 'the event', name, 'the name of an event', remedy)
  }
  if (typeof listener !== 'function') throw refusal(call, 'the listener', listener, 'a function')
}

// What other queues call them, with or without our prefix.
const OTHER_NAMES = new Map<string, EventName>([
  ['failed', 'job:dead'],
  ['error', 'job:dead'],
  ['done', 'job:completed'],
  ['active', 'job:started'],
  ['stalled', 'job:interrupted'],
  ['added', 'job:enqueued'],
  ['waiting', 'job:enqueued'],
  ['removed', 'job:cancelled'],
])

function eventNamed(name: string): string | undefined {
  const word = name.replace(/^.*:/, '').toLowerCase()
  return OTHER_NAMES.get(word) ?? EVENT_NAMES.find((known) => known.endsWith(`:${word}`))
}
