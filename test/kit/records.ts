/** Job records without an engine around them. */
import { JobRecord } from '../../src/rules/job-record.ts'
import type { TaskEntry } from '../../src/rules/registry.ts'
import { defineTask, type TaskOptions } from '../../src/rules/task.ts'

type Policy = Partial<TaskOptions<string, undefined, undefined, unknown, unknown>>

let entries = 0

/** A task inside an imaginary runtime. */
export function entryOf(name = 'task', policy: Policy = {}): TaskEntry {
  const task = defineTask({ handler: new URL('file:///nowhere.js'), ...policy, name })
  return { index: entries++, task }
}

const plain = entryOf()

/** A job that is available since `readyAt`. */
export function recordOf(seq: number, { readyAt = 0, priority = 0, entry = plain } = {}): JobRecord {
  const job = new JobRecord(seq, entry, undefined, priority, readyAt)
  job.readyAt = readyAt
  return job
}
