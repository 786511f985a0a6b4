/**
 * Lines of jobs as they lie in BullMQ's own log of a job, where its tools show them:
 * `2026-01-02T03:04:05.678Z 1.17 info: a message`, with data in a line below. 1.17 is the line 17 of the attempt 1.
 */

import type { KeptLine, KeptLog } from '../../../rules/log-lines.ts'
import { fromReadable, toReadable } from '../../../rules/readable.ts'
import { parsed } from './progress-mark.ts'

const DATA = '\n\t'
const LINE = /^(\d{4}-\S+Z) (\d+)\.(\d+) (debug|info|warn|error)(?: \((stdout|stderr|runtime)\))?: ([\s\S]*)$/

/** A line as text. `number`: of the lines of its attempt, from 1. */
export function toLogText({ at, attempt, from, level, message, data }: KeptLine, number: number): string {
  const by = from === 'log' ? '' : ` (${from})`
  const shown = data === undefined ? '' : DATA + toReadable(data)
  // PostgreSQL takes no NUL.
  return `${new Date(at).toISOString()} ${attempt}.${number} ${level}${by}: ${message}${shown}`.replaceAll(
    '\0',
    '',
  )
}

/** The lines in a log, those that somebody else has written included. */
export function fromLogTexts(texts: readonly string[]): KeptLog {
  const lines = texts.map((text) => lineOf(text))
  // Of the lines that are gone those of the same attempt are known to be missing.
  const first = LINE.exec(texts[0] ?? '')
  const [, , , number = '1'] = first ?? []
  return { lines, dropped: Number(number) - 1 }
}

function lineOf(text: string): KeptLine {
  const [, time, attempt, , level, from, rest = ''] = LINE.exec(text) ?? []
  if (time === undefined) return { at: 0, attempt: 0, from: 'log', level: 'info', message: text }
  const at = rest.lastIndexOf(DATA)
  const json = at === -1 ? undefined : parsed(rest.slice(at + DATA.length))
  const line = {
    ...{ at: Date.parse(time), attempt: Number(attempt), level: level as KeptLine['level'] },
    from: (from ?? 'log') as KeptLine['from'],
  }
  if (json === undefined) return { ...line, message: rest }
  const data = fromReadable(json)
  return { ...line, message: rest.slice(0, at), ...(data !== undefined && { data }) }
}
