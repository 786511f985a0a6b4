/** `aftertask check`: whether it stands as it should, as an exit code. */
import { OptionsInvalidError } from '../words/errors.ts'
import type { JobState } from '../words/job.ts'
import { askFlags, asking, askUsage, EXIT } from './command.ts'
import { whole } from './flags.ts'
import { styled } from './output.ts'
import { duration } from './table.ts'
import { milliseconds } from './where.ts'

const usage = `aftertask check [--max-age 60s] [--max-dead 10] [--max-waiting 1000]
  [--max-age 60s]      the oldest job that could run has waited no longer
  [--max-dead 10]      no more jobs are dead
  [--max-waiting 1000] no more jobs wait for a thread
  Ends with 0 when all of it holds, 1 when not, 3 when nobody answers.
${askUsage}`

const flags = {
  ...askFlags,
  'max-age': { type: 'string' },
  'max-dead': { type: 'string' },
  'max-waiting': { type: 'string' },
} as const

interface Finding {
  readonly check: string
  readonly value: number
  readonly max: number
  readonly holds: boolean
}

/** `aftertask check`. */
export const check = asking(usage, flags, 'look', async ({ values, reach, out }) => {
  const { 'max-age': age, 'max-dead': dead, 'max-waiting': waiting } = values
  if (age === undefined && dead === undefined && waiting === undefined)
    throw new OptionsInvalidError(`Give what is to be checked.\n\n${usage}`)
  const findings: Finding[] = []
  const add = (name: string, value: number, max: number): void => {
    findings.push({ check: name, value, max, holds: value <= max })
  }
  const counts = await reach.ask<Record<JobState, number>>('counts')
  if (age !== undefined) {
    const max = milliseconds('--max-age', age)
    add('age', (await reach.ask<number | null>('oldestAge')) ?? 0, max)
  }
  if (dead !== undefined) add('dead', counts.dead, whole('max-dead', dead, 0, usage))
  if (waiting !== undefined) add('waiting', counts.available, whole('max-waiting', waiting, 0, usage))
  for (const finding of findings) {
    if (values.json) out.json(finding)
    else {
      const { check: name, value, max, holds } = finding
      const shown = (number: number): string => (name === 'age' ? duration(number) : String(number))
      out.line([
        holds ? styled('green', 'ok  ') : styled('red', 'FAIL'),
        ` ${name} ${shown(value)}, at most ${shown(max)}`,
      ])
    }
  }
  return findings.every(({ holds }) => holds) ? EXIT.done : EXIT.failed
})
