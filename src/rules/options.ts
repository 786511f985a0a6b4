/** Reads options through a zod schema and turns what it finds into one message that names value, expectation and remedy. */
import { z } from 'zod'
import { describeValue, OptionsInvalidError } from '../words/errors.ts'
import { isRecord, messageOf } from './arguments.ts'

/** How zod's signs read in a sentence. */
const BOUNDS: Readonly<Record<string, string>> = {
  '>=': 'of at least',
  '<=': 'of at most',
  '>': 'above',
  '<': 'below',
}

/**
 * Checks `given` against a schema and returns it typed, with defaults filled in: a copy, which nothing that the caller
 * does later can reach. `what` is the function that was called; `name` says which of its arguments the options are.
 *
 * @throws OptionsInvalidError naming the first fault; an unknown key comes with the nearest known one.
 */
export function readOptions<Schema extends z.ZodType>(
  schema: Schema,
  given: unknown,
  what: string,
  name = 'the options',
): z.output<Schema> {
  if (!isRecord(given)) throw noOptions(schema, given, what, name)
  let result: z.ZodSafeParseResult<z.output<Schema>>
  try {
    result = schema.safeParse(given)
  } catch (cause) {
    // A getter or a proxy of the caller's.
    throw new OptionsInvalidError(`${what}: ${name} cannot be read: ${messageOf(cause)}.`, '', { cause })
  }
  if (result.success) return result.data
  const [issue] = result.error.issues
  if (issue === undefined) throw new OptionsInvalidError(`${what}: ${name} are not valid.`)
  throw new OptionsInvalidError(...explain(innermost(issue), schema, given, what, name))
}

function noOptions(schema: z.ZodType, given: unknown, what: string, name: string): OptionsInvalidError {
  const known = keysAt(schema, []).slice(0, 4)
  const example = known.length > 0 ? `, such as { ${known.join(', ')} }` : ''
  const verb = name.endsWith('s') ? 'are' : 'is'
  const is = `${verb} ${given === undefined ? 'missing' : describeValue(given)}`
  return new OptionsInvalidError(`${what}: ${name} ${is}; expected an object${example}.`)
}

// Of a value that may have several forms, an object is judged as the object that it was meant to be.
function innermost(issue: z.core.$ZodIssue): z.core.$ZodIssue {
  if (issue.code !== 'invalid_union') return issue
  const within = issue.errors.flatMap(([first]) => first ?? [])
  const deeper = within.find(({ path, code }) => path.length > 0 || code === 'unrecognized_keys')
  return deeper === undefined ? issue : innermost({ ...deeper, path: [...issue.path, ...deeper.path] })
}

function explain(
  issue: z.core.$ZodIssue,
  schema: z.ZodType,
  given: unknown,
  what: string,
  name: string,
): [string, string] {
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
  const value = at.reduce<unknown>(memberOf, given)
  const subject = path === '' ? name : `option "${path}"`
  const verb = path === '' ? 'are' : 'is'
  const expected = issue.message
    .replace(/^Invalid input: /, '')
    .replace(
      /^Too (?:small|big): expected number to be (\S+?)(-?[\d.]+)$/,
      (_, sign: string, bound: string) => `expected a number ${BOUNDS[sign] ?? sign} ${bound}`,
    )
    .replace(/, received .*$/, '')
    .replace(/^expected (record|object)$/, 'expected an object')
    .replace(/^expected (boolean)$/, 'expected true or false')
    .replace(/^expected (array)$/, 'expected an array')
    .replace(/^expected (string|number)$/, 'expected a $1')
  const found = value === undefined ? 'missing' : describeValue(value)
  return [`${what}: ${subject} ${verb} ${found}; ${expected}.`, path]
}

function memberOf(node: unknown, key: string): unknown {
  try {
    return typeof node === 'object' && node !== null ? Reflect.get(node, key) : undefined
  } catch {
    return undefined
  }
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
  // One form among others: { key, for } beside true and a function.
  if (node instanceof z.ZodUnion) node = node.options.map(unwrap).find((form) => form instanceof z.ZodObject)
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
  // What a client sends may come here: a long text is no slip of the pen, and to compare it takes time.
  if (word.length > 100) return undefined
  let best: string | undefined
  let least = Math.max(2, Math.floor(word.length / 3)) + 1
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase())
    if (distance < least) {
      least = distance
      best = candidate
    }
  }
  return best ?? known.find((candidate) => isKin(word.toLowerCase(), candidate.toLowerCase()))
}

// `prio` for `priority`, `attempts` for `maxAttempts`, `retries` for `retry`.
function isKin(word: string, candidate: string): boolean {
  if (word.length < 4) return false
  if (candidate.includes(word) || candidate.startsWith(word.slice(0, Math.max(4, word.length - 3))))
    return true
  // `opts` for `options`.
  let at = 0
  for (const letter of candidate) if (letter === word[at]) at++
  return candidate[0] === word[0] && at === word.length
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
