/** `aftertask schedules` and `aftertask pools`. */
import type { RuntimeMetrics } from '../engine/runtime-metrics.ts'
import type { ScheduleInfo } from '../engine/schedule-definition.ts'
import { OptionsInvalidError } from '../words/errors.ts'
import type { Reach } from './answering.ts'
import { askFlags, asking, askUsage, EXIT } from './command.ts'
import { moment, since, tableLines } from './table.ts'

const schedulesUsage = `aftertask schedules
  [--run ID]           add a job of this schedule at once
  [--pause ID]         let it add no more jobs
  [--resume ID]        let it add jobs again
${askUsage}`

const scheduleFlags = {
  ...askFlags,
  run: { type: 'string' },
  pause: { type: 'string' },
  resume: { type: 'string' },
} as const

function changing(values: { run?: unknown; pause?: unknown; resume?: unknown }): 'look' | 'change' {
  return (values.run ?? values.pause ?? values.resume) === undefined ? 'look' : 'change'
}

/** What to do with a schedule, when something is to be done. */
async function act(
  reach: Reach,
  { run, pause, resume }: Record<'run' | 'pause' | 'resume', string | undefined>,
): Promise<boolean> {
  if (run !== undefined) return (await reach.ask('runSchedule', { id: run })) !== null
  if (pause !== undefined) return reach.ask<boolean>('pauseSchedule', { id: pause })
  if (resume !== undefined) return reach.ask<boolean>('resumeSchedule', { id: resume })
  return true
}

/** `aftertask schedules`. */
export const schedules = asking(schedulesUsage, scheduleFlags, changing, async ({ values, reach, out }) => {
  const { run, pause, resume } = values
  if (!(await act(reach, { run, pause, resume }))) {
    process.stderr.write('aftertask schedules: there is no such schedule, or it is so already.\n')
    return EXIT.failed
  }
  // Over a socket a schedule without a further run has null for it.
  const all = await reach.ask<(Omit<ScheduleInfo, 'nextAt'> & { nextAt: number | null })[]>('schedules')
  if (values.json) for (const one of all) out.json(one)
  else if (all.length === 0) out.line('There is no schedule.')
  else {
    const now = Date.now()
    const rows = all.map(({ id, task, nextAt, cron, timeZone, every, paused }) => [
      id,
      task,
      cron === undefined ? `every ${every} ms` : `${cron}${timeZone === undefined ? '' : ` ${timeZone}`}`,
      paused ? 'paused' : nextAt === Number.POSITIVE_INFINITY ? '–' : since(nextAt, now),
      nextAt === Number.POSITIVE_INFINITY ? '–' : moment(nextAt),
    ])
    for (const line of tableLines(['id', 'task', 'rule', 'next', ''], rows)) out.line(line, true)
  }
  return EXIT.done
})

const poolsUsage = `aftertask pools
  [--pause NAME]       start no more jobs of this pool; "all": of every pool
  [--resume NAME]      start jobs of it again
${askUsage}`

const poolFlags = { ...askFlags, pause: { type: 'string' }, resume: { type: 'string' } } as const

/** `aftertask pools`. */
export const pools = asking(poolsUsage, poolFlags, 'look', async ({ values, reach, out }) => {
  const { pause, resume } = values
  if (pause !== undefined && resume !== undefined)
    throw new OptionsInvalidError(`--pause and --resume: give one of them.\n\n${poolsUsage}`)
  const pool = (name: string): object => (name === 'all' ? {} : { pool: name })
  if (pause !== undefined) await reach.ask('pause', pool(pause))
  if (resume !== undefined) await reach.ask('resume', pool(resume))
  const { pools: all } = await reach.ask<RuntimeMetrics>('metrics')
  if (values.json) for (const [name, size] of Object.entries(all)) out.json({ name, ...size })
  else {
    const rows = Object.entries(all).map(([name, { threads, max, busy }]) => [
      name,
      String(busy),
      String(threads),
      String(max),
    ])
    for (const line of tableLines(['pool', 'busy', 'threads', 'max'], rows)) out.line(line)
  }
  return EXIT.done
})
