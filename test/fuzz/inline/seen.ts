/** What was seen of a program, as text that can be compared between two runs. */
import { inspect } from 'node:util'

/** A thread sees how far the clock has gone by then, so times are compared by half seconds. */
const STEP = 500
const TIMES = ['at', 'ran', 'total', 'waited', 'delay', 'enqueuedAt', 'settledAt', 'startedAt', 'endedAt']
/** Which thread it was, and what only a thread knows. */
const OTHERWISE = ['stack', 'thread', 'cpu']

/** All of a value, with `job 0` for the first of the ids, and times since the beginning. */
export function textOf(seen: unknown, ids: readonly string[], began: number): string {
  const whole = { depth: 30, maxArrayLength: null, maxStringLength: null, sorted: true }
  const text = inspect(new Copies(began).of(seen), whole)
  return ids.reduce((told, id, index) => (id === '' ? told : told.replaceAll(id, `job ${index}`)), text)
}

/** The first line in which two texts differ, with what stands around it. */
export function difference(inline: string, threads: string): string {
  const [ours, theirs] = [inline.split('\n'), threads.split('\n')]
  const at = ours.findIndex((line, index) => line !== theirs[index])
  const around = (lines: readonly string[]): string => lines.slice(Math.max(0, at - 6), at + 6).join('\n')
  return `inline:\n${around(ours)}\non threads:\n${around(theirs)}`
}

/** Copies without what differs from thread to thread. */
class Copies {
  readonly #began: number
  readonly #known = new Map<object, unknown>()

  constructor(began: number) {
    this.#began = began
  }

  of(value: unknown): unknown {
    if (typeof value !== 'object' || value === null) return value
    if (this.#known.has(value)) return this.#known.get(value)
    if (value instanceof Date) return value.getTime() < this.#began ? value : this.#time(value.getTime())
    if (value instanceof Map)
      return this.#filled(value, new Map(), (map) => {
        for (const [name, part] of value) map.set(this.of(name), this.of(part))
      })
    if (value instanceof Set)
      return this.#filled(value, new Set(), (set) => {
        for (const part of value) set.add(this.of(part))
      })
    if (Array.isArray(value))
      return this.#filled(value, [], (list: unknown[]) => {
        for (const name of Object.keys(value)) Reflect.set(list, name, this.of(Reflect.get(value, name)))
      })
    if (value instanceof Error) return this.#members(value, { class: value.constructor.name })
    return Object.getPrototypeOf(value) === Object.prototype ? this.#members(value, {}) : value
  }

  #members(value: object, copy: object): object {
    return this.#filled(value, copy, () => {
      for (const name of Object.getOwnPropertyNames(value)) {
        if (OTHERWISE.includes(name)) continue
        const given: unknown = Reflect.get(value, name)
        const part = TIMES.includes(name) && typeof given === 'number' ? this.#time(given) : this.of(given)
        Object.defineProperty(copy, name, {
          value: part,
          enumerable: true,
          configurable: true,
          writable: true,
        })
      }
    })
  }

  #filled<Copy extends object>(value: object, copy: Copy, fill: (copy: Copy) => void): Copy {
    this.#known.set(value, copy)
    fill(copy)
    return copy
  }

  #time(given: number): number {
    const since = given >= this.#began ? given - this.#began : given
    return Math.floor(since / STEP) * STEP
  }
}
