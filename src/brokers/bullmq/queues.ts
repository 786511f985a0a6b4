/** Which queue a task's jobs wait in: its pool's, or one of its own when it has a limit of its own. */
import type { JobRecord } from '../../rules/job-record.ts'
import type { TaskEntry } from '../../rules/registry.ts'

/** A queue of this runtime's tasks. */
export interface QueueOfTasks {
  readonly name: string
  readonly pool: string
  /** Jobs of it that may run at once in one process. */
  readonly limit: number
  /** The names of the tasks whose jobs come to it. */
  readonly tasks: readonly string[]
}

/** The name of the queue of a task. A limit of its own calls for a queue of its own: its jobs must not be in others' way. */
function queueOf({ task }: TaskEntry): string {
  const { pool, concurrency } = task.policy
  return concurrency === Number.POSITIVE_INFINITY ? `pool.${plain(pool)}` : `task.${plain(task.name)}`
}

/** The name of the queue that a job is in. A deploy may have given its task another one since it was added. */
export function queueOfJob({ entry, extras }: JobRecord): string {
  return extras?.queue ?? queueOf(entry)
}

/** The queues of some tasks, each once. */
export function queuesOf(entries: readonly TaskEntry[]): QueueOfTasks[] {
  const byName = new Map<string, QueueOfTasks>()
  for (const entry of entries) {
    const { pool, concurrency } = entry.task.policy
    const name = queueOf(entry)
    const tasks = [...(byName.get(name)?.tasks ?? []), entry.task.name]
    byName.set(name, { name, pool, limit: concurrency, tasks })
  }
  return [...byName.values()]
}

// BullMQ takes no colon in a name.
function plain(name: string): string {
  return name.replaceAll(':', '_')
}
