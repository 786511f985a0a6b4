/** Reads options through a zod schema and turns what it finds into one message that names value, expectation and remedy. */
import { z } from 'zod'
import { describeValue, OptionsInvalidError } from '../words/errors.ts'

/**
 * Checks `given` against a schema and returns it typed, with defaults filled in.
 *
 * @throws OptionsInvalidError naming the first fault; an unknown key comes with the nearest known one.
 */
export function readOptions<Schema extends z.ZodType>(
  schema: Schema,
  given: unknown,
  what: string,
): z.output<Schema> {
  const result = schema.safeParse(given)
  if (result.success) return result.data
  const [issue] = result.error.issues
  if (issue === undefined) throw new OptionsInvalidError(`${what}: the options are not valid.`)
  throw new OptionsInvalidError(...explain(issue, schema, given, what))
}

function explain(issue: z.core.$ZodIssue, schema: z.ZodType, given: unknown, what: string): [string, string] {
  const at = issue.path.map(String)
  if (issue.code === 'unrecognized_keys') {
    const [key = ''] = issue.keys
    const known = keysAt(schema, at)
    const near = closest(key, known)
    const path = [...at, key].join('.')
    const hint = near ? ` Did you mean "${near}"?` : known.length > 0 ? ` Known: ${known.join(', ')}.` : ''
    return [`${what}: unknown option "${path}".${hint}`, path]
  }
  const path = at.join('.')
  const value = at.reduce<unknown>((node, key) => (isObject(node) ? node[key] : undefined), given)
  const name = path === '' ? 'the options' : `option "${path}"`
  return [
    `${what}: ${name} is ${describeValue(value)}; ${issue.message.replace(/^Invalid input: /, '')}.`,
    path,
  ]
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function keysAt(schema: z.ZodType, path: readonly string[]): string[] {
  let node: unknown = schema
  for (const step of path) {
    node = unwrap(node)
    if (node instanceof z.ZodObject) node = node.shape[step]
    else if (node instanceof z.ZodRecord) node = node.valueType
    else return []
  }
  node = unwrap(node)
  return node instanceof z.ZodObject ? Object.keys(node.shape) : []
}

function unwrap(node: unknown): unknown {
  let inner = node
  while (
    inner instanceof z.ZodOptional ||
    inner instanceof z.ZodDefault ||
    inner instanceof z.ZodPrefault ||
    inner instanceof z.ZodLazy
  ) {
    inner = inner.unwrap()
  }
  return inner
}

/** The known word nearest to a mistyped one, or undefined when none is near enough to be what was meant. */
export function closest(word: string, known: readonly string[]): string | undefined {
  let best: string | undefined
  let least = Math.max(2, Math.floor(word.length / 3)) + 1
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase())
    if (distance < least) {
      least = distance
      best = candidate
    }
  }
  return best
}

// Levenshtein's distance over one row; option names are short, so nothing faster is worth its lines.
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const substitution = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(substitution, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}
