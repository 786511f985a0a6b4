/** The handlers: each notes that it begins, waits, and notes that it ends. Most do not listen when they are told to stop. */
import { setTimeout as wait } from 'node:timers/promises'
import type { HandlerContext } from 'aftertask'
import { note } from '../trail.ts'

/** What every job brings along. */
export interface Work {
  readonly mark: string
  readonly ms: number
  readonly key?: string | undefined
  /** Ends when it is cancelled: a thread that has to be ended for one job takes others with it. */
  readonly isHeedful?: boolean | undefined
}

const file = process.env['CHAOS_TRAIL'] ?? ''
const by = process.env['CHAOS_NAME'] ?? ''

/** Takes a while. */
export async function work({ mark, ms, key, isHeedful }: Work, { signal }: HandlerContext): Promise<void> {
  note(file, { what: 'begin', by, mark, ...(key === undefined ? {} : { key }) })
  await wait(ms, undefined, isHeedful === true ? { signal } : {})
  note(file, { what: 'end', by, mark })
}

/** Throws half of the time. */
export async function flaky({ mark, ms }: Work): Promise<void> {
  note(file, { what: 'begin', by, mark })
  await wait(ms)
  if (Math.random() < 0.5) {
    note(file, { what: 'threw', by, mark })
    throw new Error('not this time')
  }
  note(file, { what: 'end', by, mark })
}

/** A run of the schedule. */
export function tick(_payload: unknown, context: HandlerContext): Promise<void> {
  return work({ mark: `tick:${context.id}`, ms: 10 }, context)
}
