/** What was added to a test runtime, in order: what assertions look at, and what they list when they fail. */
import { isDeepStrictEqual } from 'node:util'
import type { Job } from '../engine/job.ts'
import { describeValue } from '../words/describe.ts'

/** One job that was added. */
export interface AddedJob<Payload = unknown, Result = unknown> {
  readonly id: string
  /** The task's name. */
  readonly name: string
  /** A copy of the payload, as the handler gets it. */
  readonly payload: Payload
  /** The handle: `state`, `settled`, `result()` and `cancel()`. */
  readonly job: Job<Result>
  /** When the job is due by the clock of the runtime, when it has a delay. */
  readonly dueAt: Date | undefined
  /** The line that added the job, such as `routes/signup.ts:12`; empty when no line tells. */
  readonly addedAt: string
}

/** True when the value has all that the pattern asks for: objects in part, everything else whole. */
function matches(value: unknown, pattern: unknown): boolean {
  if (!isPlain(pattern)) return isDeepStrictEqual(value, pattern)
  if (typeof value !== 'object' || value === null) return false
  return Reflect.ownKeys(pattern).every((key) => matches(Reflect.get(value, key), Reflect.get(pattern, key)))
}

/** Those of a task whose payload fits a pattern; every payload fits undefined. */
export function matching(added: readonly AddedJob[], task: string, pattern: unknown): AddedJob[] {
  return added.filter(
    ({ name, payload }) => name === task && (pattern === undefined || matches(payload, pattern)),
  )
}

/** The list for a message: what there was instead. */
export function listed(added: readonly AddedJob[]): string {
  if (added.length === 0) return 'Nothing was added.'
  const lines = added.map(({ name, payload, job, addedAt }) => {
    const where = addedAt === '' ? '' : `, added at ${addedAt}`
    return `  "${name}" ${shown(payload)} (${job.state}${where})`
  })
  return `What was added:\n${lines.join('\n')}`
}

/** A payload for a message. */
export function shown(payload: unknown): string {
  try {
    return JSON.stringify(payload) ?? describeValue(payload)
  } catch {
    return describeValue(payload)
  }
}

/** The first line of a stack that is neither Node's nor this library's. */
export function callerIn(stack: string | undefined): string {
  const frames = stack?.split('\n').slice(1) ?? []
  const own = frames.findLastIndex((line) => line.includes(HERE))
  const frame = frames.slice(own + 1).find((line) => !line.includes('node:'))
  return /\(?((?:file:\/\/)?[^\s()]+:\d+):\d+\)?$/.exec(frame ?? '')?.[1]?.replace('file://', '') ?? ''
}

// Built, all of it lies in dist; from the sources, in src.
const HERE = new URL('../', import.meta.url).pathname

function isPlain(value: unknown): value is Record<PropertyKey, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}
