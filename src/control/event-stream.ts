/** The events of a runtime as plain data, for one listener outside of the process: chosen, and never more than it can read. */
import { z } from 'zod'
import { readOptions } from '../rules/options.ts'
import { EVENT_NAMES, type EventName } from '../words/events.ts'
import type { EventSource } from './controlled.ts'
import { errorFacts, toJson } from './frames.ts'

/** One event, as it is told outside of the process. */
export interface ToldEvent {
  readonly time: number
  readonly event: string
  readonly [field: string]: unknown
}

/** Told in place of events that a slow listener could not take. */
const MISSED = 'events:missed'

/** Events of jobs that each job has: to tell of each start costs a message a job, so they come only when they are asked for. */
const ON_REQUEST: readonly string[] = ['job:started']

const text = z.string({ error: 'expected a string' }).min(1)

/** Which events somebody wants to hear. */
const eventsSchema = z.strictObject({
  events: z
    .array(z.enum(EVENT_NAMES, { error: `expected names of events: ${EVENT_NAMES.join(', ')}` }))
    .optional(),
  task: text.optional(),
  id: text.optional(),
  text: text.optional(),
})

/** Where events go. */
export interface EventSink {
  /** False while it can take no more. */
  hasRoom(): boolean
  take(event: ToldEvent): void
}

/**
 * Tells a sink the events that fit, from now until the call that is returned. Listens only to those.
 *
 * @throws OptionsInvalidError when the filter makes no sense.
 */
export function tellEvents(watch: EventSource, filter: unknown, sink: EventSink): () => void {
  const { events, task, id, text: part } = readOptions(eventsSchema, filter, 'events', 'the filter')
  const fits = jobFilter(task, id)
  const names = events ?? EVENT_NAMES.filter((name) => !ON_REQUEST.includes(name))
  let missed = 0
  const take = (name: EventName, event: object): void => {
    if (!fits(event)) return
    if (!sink.hasRoom()) {
      missed++
      return
    }
    if (missed > 0) {
      sink.take({ time: Date.now(), event: MISSED, count: missed })
      missed = 0
    }
    const told = toTold(name, event)
    if (part === undefined || toJson(told).includes(part)) sink.take(told)
  }
  const stops = names.map((name) =>
    watch(name, (event) => {
      try {
        take(name, event)
      } catch {
        // What an event holds may fight back when it is read: then it is not told.
      }
    }),
  )
  return () => {
    for (const stop of stops) stop()
  }
}

function jobFilter(task: string | undefined, id: string | undefined): (event: object) => boolean {
  if (task === undefined && id === undefined) return () => true
  const isTask = task === undefined ? () => true : glob(task)
  return (event) => {
    const job = Reflect.get(event, 'job') as { readonly id: string; readonly name: string } | undefined
    return job !== undefined && isTask(job.name) && (id === undefined || job.id === id)
  }
}

/** True for names that fit a pattern, in which `*` stands for any text. */
function glob(pattern: string): (name: string) => boolean {
  const [first = '', ...rest] = pattern.split('*')
  if (rest.length === 0) return (name) => name === pattern
  const last = rest.pop() ?? ''
  return (name) => {
    if (!name.startsWith(first) || name.length < first.length + last.length || !name.endsWith(last))
      return false
    let at = first.length
    for (const part of rest) {
      const found = name.indexOf(part, at)
      if (found === -1 || found + part.length > name.length - last.length) return false
      at = found + part.length
    }
    return true
  }
}

/** What is told of an event: errors as facts. Results stay where they are. */
function toTold(name: EventName, event: object): ToldEvent {
  const told: Record<string, unknown> = { time: Date.now(), event: name }
  for (const [field, value] of Object.entries(event)) {
    if (field === 'result' || value === undefined) continue
    told[field] = value instanceof Error ? errorFacts(value) : value
  }
  return told as unknown as ToldEvent
}
