/** `aftertask job ID`: all that is known of one job. */
import { inspect } from 'node:util'
import { OptionsInvalidError } from '../words/errors.ts'
import type { AttemptInfo, JobInfo, JobLogLine } from '../words/job.ts'
import { askFlags, asking, askUsage, EXIT } from './command.ts'
import { type Output, styled } from './output.ts'
import { duration, moment, stateOf, tableLines } from './table.ts'

const usage = `aftertask job ID
  [--reveal]           with what is secret in its values
${askUsage}`

const flags = { ...askFlags, reveal: { type: 'boolean', default: false } } as const

/** `aftertask job`. */
export const job = asking(usage, flags, 'look', async ({ values, positionals, reach, out }) => {
  const [id, ...others] = positionals
  if (id === undefined || others.length > 0)
    throw new OptionsInvalidError(`Give the id of one job.\n\n${usage}`, 'id')
  const found = await reach.ask<JobInfo | null>(values.reveal ? 'reveal' : 'job', { id })
  if (found === null) {
    process.stderr.write('aftertask job: there is no such job, or it is over and was forgotten.\n')
    return EXIT.failed
  }
  if (values.json) out.json(found)
  else show(found, out)
  return EXIT.done
})

// These have a line or a table of their own.
const SHOWN = ['id', 'name', 'state', 'attempts', 'enqueuedAt', 'settledAt', 'error', 'history', 'logs']

function show(found: JobInfo, out: Output): void {
  out.line([styled('bold', found.name), ' ', found.id, ' ', stateOf(found.state)])
  const field = (name: string, text: string): void => out.line([styled('dim', name.padEnd(10)), text])
  field('accepted', moment(found.enqueuedAt))
  if (found.settledAt !== undefined) field('over', moment(found.settledAt))
  field('attempts', String(found.attempts))
  for (const [name, value] of Object.entries(found)) {
    if (SHOWN.includes(name) || value === undefined) continue
    field(name, typeof value === 'string' ? value : shortly(value))
  }
  if (found.error !== undefined) {
    const { name, code, message } = found.error
    out.line([
      styled('dim', 'error     '),
      styled('red', `${name}${code === undefined ? '' : ` [${code}]`}: ${message}`),
    ])
  }
  if (found.history !== undefined && found.history.length > 0) showAttempts(found.history, out)
  if (found.logs !== undefined && found.logs.length > 0) showLogs(found.logs, out)
}

function shortly(value: unknown): string {
  return inspect(value, { depth: 6, breakLength: Number.POSITIVE_INFINITY, maxStringLength: 10_000 })
}

function showAttempts(history: readonly AttemptInfo[], out: Output): void {
  out.line('')
  const rows = history.map(({ attempt, outcome, startedAt, endedAt, thread, cpu, error }) => [
    String(attempt),
    outcome === 'completed' ? styled('green', outcome) : styled('red', outcome),
    moment(startedAt),
    startedAt === undefined || endedAt === undefined ? '–' : duration(endedAt - startedAt),
    cpu === undefined ? '–' : duration(cpu),
    thread === undefined ? '–' : String(thread),
    error === undefined ? '' : `${error.code ?? error.name}: ${error.message}`,
  ])
  for (const line of tableLines(['try', 'outcome', 'started', 'took', 'cpu', 'thread', ''], rows))
    out.line(line)
  const stack = history.at(-1)?.error?.stack
  if (stack !== undefined)
    for (const frame of stack.split('\n').filter((line) => /^\s+at /.test(line)))
      out.line([styled('dim', frame)])
}

function showLogs(logs: readonly JobLogLine[], out: Output): void {
  out.line('')
  for (const { at, from, level, message, data } of logs) {
    const told = data === undefined ? '' : ` ${shortly(data)}`
    const name = from === 'log' ? level : from
    out.line([
      styled('dim', moment(at)),
      ' ',
      level === 'error' ? styled('red', name) : name,
      ` ${message}${told}`,
    ])
  }
}
