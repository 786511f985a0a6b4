/** BullMQ puts the clock of the machine into its commands. Here that becomes the clock of the store. */
import type { IQueueBackend } from 'bullmq'

type Values = unknown[]
type Call = (...args: unknown[]) => unknown

/** Where the time stands among the values of a command: those of Redis begin with the keys. */
const TIMES: Readonly<Record<string, number>> = {
  ...{ moveToActive: 12, moveToFinished: 15, changeDelay: 5 },
  ...{ extend_locks: 4, move_stalled_jobs_to_wait: 2, move_active_to_wait: 3, change_delay: 3 },
  ...{ move_to_active: 3, move_to_completed: 4, move_to_failed: 5 },
}
// What is further from this machine's time is something else: then the command is left as it is.
const RECENT = 1000

/** Lets what a backend of BullMQ asks of the store go by this time. */
export function byTimeOf(backend: IQueueBackend, wall: () => number): void {
  const inTime = (command: unknown, values: unknown): unknown => {
    const at = TIMES[String(command)]
    if (at === undefined || !Array.isArray(values)) return values
    const machine = Number(values[at])
    if (Math.abs(Date.now() - machine) > RECENT) return values
    return (values as Values).with(at, typeof values[at] === 'string' ? String(wall()) : wall())
  }
  // In Redis it is a script, in PostgreSQL a statement.
  wrap(backend, 'execCommand', (call, [client, command, values]) =>
    call(client, command, inTime(command, values)),
  )
  wrap(backend, 'run', async (call, [command, values]) => {
    const answer = await call(command, inTime(command, values))
    if (command !== 'next_delay') return answer
    // This is compared with the clock of the machine.
    const ahead = Date.now() - wall()
    for (const row of (answer as { rows: { next_delay: string | number | null }[] }).rows) {
      if (row.next_delay !== null) row.next_delay = Number(row.next_delay) + ahead
    }
    return answer
  })
}

function wrap(of: object, name: string, around: (call: Call, args: unknown[]) => unknown): void {
  const call = Reflect.get(of, name) as Call | undefined
  if (typeof call !== 'function') return
  Reflect.set(of, name, (...args: unknown[]) => around(call.bind(of), args))
}
