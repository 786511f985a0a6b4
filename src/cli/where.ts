/** Queries as a person types them: `--where 'state:dead task:email.* payload.userId:42 older:1h'`. */
import { OptionsInvalidError } from '../words/errors.ts'

/** The flags that say which jobs are meant. */
export const whereFlags = {
  where: { type: 'string', multiple: true, short: 'w' },
  state: { type: 'string', multiple: true },
  task: { type: 'string', multiple: true },
  pool: { type: 'string', multiple: true },
} as const

/** How to use them. */
export const whereUsage = `  [--where QUERY]...   words such as state:dead task:email.* pool:io key:user:7 error:ECONN* payload.userId:42
                       request:ID batch:ID older:1h newer:5m since:2026-11-28T09:00Z until:... ended:1h, or any text
  [--state S] [--task NAME] [--pool NAME]   the same as where`

/** The values of those flags. */
export interface WhereValues {
  readonly where?: string[] | undefined
  readonly state?: string[] | undefined
  readonly task?: string[] | undefined
  readonly pool?: string[] | undefined
}

const LISTS = ['state', 'task', 'pool'] as const
const WORDS: Readonly<Record<string, string>> = {
  key: 'key',
  batch: 'batch',
  request: 'requestId',
  error: 'error',
}
const KNOWN =
  'state, task, pool, key, batch, request, error, text, payload.FIELD, older, newer, since, until, ended'

/**
 * A query of `runtime.jobs` out of the flags. `now`: milliseconds since 1970.
 *
 * @throws OptionsInvalidError for a word that makes no sense.
 */
export function queryOf(values: WhereValues, now: number): Record<string, unknown> {
  const query: Record<string, unknown> = {}
  for (const name of LISTS) for (const value of values[name] ?? []) addTo(query, name, value)
  const texts: string[] = []
  for (const word of (values.where ?? []).flatMap(wordsOf)) {
    const [, field, value] = /^([a-z][\w-]*(?:\.[^:\s]+)?):(.+)$/s.exec(word) ?? []
    if (field === undefined || value === undefined) texts.push(word)
    else if (!take(query, field, value, now)) {
      throw new OptionsInvalidError(
        `--where ${word}: there is no field "${field}". There are: ${KNOWN}. A text with a colon goes behind text: (text:"${word}").`,
        'where',
      )
    }
  }
  if (texts.length > 0) {
    if (query['text'] !== undefined) texts.unshift(String(query['text']))
    query['text'] = texts.join(' ')
  }
  return query
}

function take(query: Record<string, unknown>, field: string, value: string, now: number): boolean {
  if ((LISTS as readonly string[]).includes(field)) {
    for (const one of value.split(',')) addTo(query, field, one)
    return true
  }
  const word = WORDS[field]
  if (word !== undefined) query[word] = value
  else if (field === 'text') query['text'] = value
  else if (field.startsWith('payload.')) addField(query, field.slice('payload.'.length), value)
  else return takeTime(query, field, value, now)
  return true
}

function takeTime(query: Record<string, unknown>, field: string, value: string, now: number): boolean {
  if (field === 'older') query['until'] = now - milliseconds(`older:${value}`, value)
  else if (field === 'newer') query['since'] = now - milliseconds(`newer:${value}`, value)
  else if (field === 'ended') query['endedSince'] = now - milliseconds(`ended:${value}`, value)
  else if (field === 'since' || field === 'until') query[field] = timeOf(`${field}:${value}`, value)
  else return false
  return true
}

function addTo(query: Record<string, unknown>, name: string, value: string): void {
  const before = query[name]
  query[name] = Array.isArray(before) ? [...before, value] : [value]
}

function addField(query: Record<string, unknown>, path: string, value: string): void {
  query['payload'] = { ...(query['payload'] as object | undefined), [path]: value }
}

/** Words apart by blanks; a part in double quotes may have blanks. */
function wordsOf(text: string): string[] {
  const words = text.match(/(?:[^\s"]|"[^"]*")+/g) ?? []
  return words.map((word) => word.replaceAll('"', '')).filter((word) => word !== '')
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** A duration such as `90s`, `5m`, `1h`; a number alone is seconds. @throws OptionsInvalidError */
export function milliseconds(name: string, text: string): number {
  const [, amount = '', unit = 's'] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text) ?? []
  const value = amount === '' ? Number.NaN : Number(amount) * (UNITS[unit] ?? Number.NaN)
  if (Number.isFinite(value)) return value
  throw new OptionsInvalidError(`${name}: expected a duration such as 500ms, 90s, 5m, 1h or 7d.`, name)
}

function timeOf(name: string, text: string): number {
  const time = /^\d{10,}$/.test(text) ? Number(text) : Date.parse(text)
  if (Number.isFinite(time)) return time
  throw new OptionsInvalidError(
    `${name}: expected a time such as 2026-11-28T09:00Z, or milliseconds since 1970.`,
    name,
  )
}
