/** Whether an array has named properties besides its items, asked cheaply: to list the keys of a long one costs more than to send it. */
import { inspect } from 'node:util'

const LONG = 256
const SHORTEST = { depth: 0, maxArrayLength: 0, customInspect: false } as const

/** True for an array without holes that has nothing but its items. `array` is known to have no hole. */
export function hasOnlyItems(array: readonly unknown[]): boolean {
  // Node looks at named properties alone, and prints them. Whatever else it prints, the keys are counted.
  if (array.length > LONG && inspect(array, SHORTEST) === `[ ... ${array.length} more items ]`) return true
  return Object.keys(array).length === array.length
}
