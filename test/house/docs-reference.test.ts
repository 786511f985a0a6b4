import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { Job } from '../../src/engine/job.ts'
import { Runtime } from '../../src/engine/runtime.ts'
import { jobOptionsSchema, taskOptionsSchema } from '../../src/rules/option-schemas.ts'
import { retryPolicy } from '../../src/rules/retry.ts'
import { poolOptionsSchema, runtimeOptionsSchema } from '../../src/rules/runtime-schemas.ts'
import { defineTask } from '../../src/rules/task.ts'
import * as errors from '../../src/words/errors.ts'
import { isTerminal, TERMINAL_STATES, UNFINISHED_STATES } from '../../src/words/job.ts'
import { projectFiles, read } from './tree.ts'

describe('the reference of options', () => {
  test.each([
    ['runtime-options.md', 'createRuntime', runtimeOptionsSchema],
    ['runtime-options.md', 'Pool options', poolOptionsSchema],
    ['task-options.md', 'Task options', taskOptionsSchema],
    ['job-options.md', 'Job options', jobOptionsSchema],
  ])('in %s, %s, has a row for each option, with its default and its sentence', (file, heading, schema) => {
    const rows = tableUnder(`docs/reference/${file}`, heading)
    const options = optionsOf(schema)
    expect(rows.map(([name]) => name)).toEqual(options.map(({ name }) => `\`${name}\``))
    const shown = options.map(({ fallback, sentence }, index) => {
      const [name, , shownDefault, shownSentence] = rows[index] ?? []
      return [name, fallback === undefined ? '' : shownDefault, sentence === undefined ? '' : shownSentence]
    })
    expect(shown).toEqual(
      options.map(({ name, fallback, sentence }) => [
        `\`${name}\``,
        fallback === undefined ? '' : literal(fallback),
        sentence ?? '',
      ]),
    )
  })

  test('names the defaults that defineTask fills in', () => {
    const { policy } = defineTask({ name: 'x', handler: new URL('./x.ts', import.meta.url) })
    const rows = new Map(
      tableUnder('docs/reference/task-options.md', 'Task options').map((row) => [row[0], row[2]]),
    )
    const filled = Object.entries(policy).filter(([, value]) => value !== undefined)
    expect(filled.map(([name]) => [name, rows.get(`\`${name}\``)])).toEqual(
      filled.map(([name, value]) => [name, literal(value)]),
    )
  })

  test.each(['runtime-options.md', 'task-options.md'])('in %s names the defaults of retries', (file) => {
    const { maxAttempts, backoff } = retryPolicy({})
    const text = read(`docs/reference/${file}`)
    const shown = [...text.matchAll(/^\| `retry\.([\w.]+)` \| [^|]+ \| ([^|]+) \|/gm)]
    const actual = {
      maxAttempts,
      ...Object.fromEntries(Object.entries(backoff).map(([key, value]) => [`backoff.${key}`, value])),
    }
    const documented = shown
      .filter(([, key]) => key !== 'backoff')
      .map(([, key, value]) => [key, value?.trim()])
    expect(documented).toEqual(Object.entries(actual).map(([key, value]) => [key, literal(value)]))
  })
})

describe('the reference of members', () => {
  const membersIn = (file: string, heading: string): string[] =>
    tableUnder(`docs/reference/${file}`, heading).flatMap(([cell = '']) =>
      [...cell.matchAll(/`(?:\[Symbol\.)?(\w+)/g)].map(([, name = '']) => name),
    )
  const membersOf = ({ prototype }: { prototype: object }): string[] =>
    Object.getOwnPropertyNames(prototype).filter((name) => name !== 'constructor')

  test('names everything that a runtime has', () => {
    // `openBatch` is for the edges of this package.
    const members = membersOf(Runtime).filter((name) => name !== 'openBatch')
    expect(new Set(membersIn('runtime.md', 'Runtime'))).toEqual(
      new Set([...members, 'tasks', 'asyncDispose']),
    )
  })

  test('names everything that a job has', () => {
    expect(new Set(membersIn('runtime.md', 'Job'))).toEqual(new Set(membersOf(Job)))
  })

  test('names everything that a handler is given', () => {
    const body =
      /export interface HandlerContext \{\n([\s\S]*?)\n\}/.exec(read('src/rules/handler.ts'))?.[1] ?? ''
    const members = [...body.matchAll(/^ {2}(?:readonly )?(\w+)[:<(]/gm)].map(([, name = '']) => name)
    const named = tableUnder('docs/reference/handler-context.md', 'Handler context').map(
      ([cell = '']) => /\w+/.exec(cell)?.[0],
    )
    expect(new Set(named)).toEqual(new Set(members))
  })
})

describe('the reference of the HTTP edge', () => {
  test.each([
    ['afterResponse', 'src/http/after-response.ts'],
    ['shutdown', 'src/http/shutdown.ts'],
  ])('has a row for each option of %s, with its default and its sentence', (heading, file) => {
    // These schemas are nobody's business but their module's, so they are read as text.
    const schema = /const optionsSchema = z\.strictObject\(\{\n([\s\S]*?)\n\}\)/.exec(read(file))?.[1] ?? ''
    const options = schema
      .split(/\n(?= {2}\w+: z)/)
      .map((option) => [
        `\`${/(\w+):/.exec(option)?.[1]}\``,
        /\.default\((\[[^\]]*\]|[^)]*)\)/.exec(option)?.[1] ?? 'none',
        /\.describe\('(.*)'\)/.exec(option)?.[1],
      ])
    const rows = tableUnder('docs/reference/http.md', heading)
    expect(
      rows.map(([name, , fallback, sentence]) => [name, fallback?.replaceAll('`', ''), sentence]),
    ).toEqual(options)
  })
})

describe('the reference of events', () => {
  const source = read('src/words/events.ts')
  const body = /export interface RuntimeEvents \{\n([\s\S]*?)\n\}/.exec(source)?.[1] ?? ''
  const events = body.split(/^(?= {2}'?[\w:]+'?:)/m).flatMap((part) => {
    const name = /^ {2}'?([\w:]+)'?:/.exec(part)?.[1]
    const fields = [...part.matchAll(/readonly (\w+):/g)].map(([, field]) => field)
    return name === undefined ? [] : [{ name, fields: fields.filter((field) => field !== 'job') }]
  })

  test('has a row for each event, with the fields that it carries', () => {
    expect(events.length).toBeGreaterThan(10)
    const rows = tableUnder('docs/reference/events.md', 'Events')
    const shown = rows.map(([name, , fields = '']) => ({
      name: name?.replaceAll('`', ''),
      fields: [...fields.matchAll(/`(\w+)`/g)].map(([, field]) => field),
    }))
    expect(shown).toEqual(events)
  })
})

describe('the reference of errors', () => {
  const source = projectFiles(/^src\/words\/[\w-]*error[\w-]*\.ts$/)
    .map(read)
    .join('\n')
  const classes = Object.entries(errors)
    .filter(([, value]) => typeof value === 'function' && value.prototype instanceof errors.AftertaskError)
    .map(([name]) => ({
      name,
      body: new RegExp(`^export class ${name} [\\s\\S]*?^\\}`, 'm').exec(source)?.[0] ?? '',
    }))
    .map(({ name, body }) => ({
      code: /'(ERR_\w+)'/.exec(body)?.[1],
      name,
      status: /status: (\d+)/.exec(body)?.[1] ?? '–',
    }))

  test('has one row for each class, with its code and status', () => {
    expect(classes.length).toBeGreaterThan(10)
    const rows = tableUnder('docs/reference/errors.md', 'Errors').map(([code, name, status]) => ({
      code: code?.replaceAll('`', ''),
      name: name?.replaceAll('`', ''),
      status,
    }))
    const byName = (a: { name?: string | undefined }, b: { name?: string | undefined }): number =>
      String(a.name).localeCompare(String(b.name))
    expect(rows.sort(byName)).toEqual(classes.sort(byName))
  })

  test('names every code that the source knows', () => {
    const text = read('docs/reference/errors.md')
    const codes = [...`${source}${read('workers/attempt.ts')}`.matchAll(/'(ERR_[A-Z_]+)'/g)].map(
      ([, code]) => code,
    )
    expect(codes.filter((code) => !text.includes(`\`${code}\``))).toEqual([])
  })
})

describe('the reference of states', () => {
  const states = [...UNFINISHED_STATES, ...TERMINAL_STATES]

  test('has a row for each state, and says which are terminal', () => {
    const rows = tableUnder('docs/reference/states.md', 'States of a job')
    expect(rows.map(([state]) => state)).toEqual(states.map((state) => `\`${state}\``))
    for (const [index, state] of states.entries()) {
      expect([state, rows[index]?.[1]?.startsWith('Terminal.')]).toEqual([state, isTerminal(state)])
    }
  })

  test('draws each state and no other', () => {
    const drawing = /```mermaid\n([\s\S]*?)```/.exec(read('docs/reference/states.md'))?.[1] ?? ''
    const drawn = [...drawing.matchAll(/(\w+|\[\*\]) --> (\w+|\[\*\])/g)].flatMap(([, from, to]) => [
      from,
      to,
    ])
    expect(new Set(drawn)).toEqual(new Set(['[*]', ...states]))
  })
})

interface Option {
  /** A dotted path. */
  name: string
  fallback: unknown
  sentence: string | undefined
}

/** Every option of a schema, those of nested objects behind their parent; but for pools, which have a table of their own. */
function optionsOf(given: z.ZodObject | z.ZodLazy<z.ZodObject>, prefix = ''): Option[] {
  const schema = given instanceof z.ZodLazy ? given.unwrap() : given
  return Object.entries(schema.shape).flatMap(([key, field]) => {
    const { inner, fallback } = unwrapped(field as z.ZodType)
    const option = { name: prefix + key, fallback, sentence: (field as z.ZodType).description }
    const isGroup = inner instanceof z.ZodObject && inner !== poolOptionsSchema
    return [option, ...(isGroup ? optionsOf(inner, `${prefix}${key}.`) : [])]
  })
}

function unwrapped(field: z.ZodType): { inner: z.ZodType; fallback: unknown } {
  let inner: unknown = field
  let fallback: unknown
  while (inner instanceof z.ZodOptional || inner instanceof z.ZodDefault || inner instanceof z.ZodPrefault) {
    if (inner instanceof z.ZodDefault) fallback = inner.def.defaultValue
    inner = inner.unwrap()
  }
  return { inner: inner as z.ZodType, fallback }
}

/** A value as the tables show it: as code, thousands apart. */
function literal(value: unknown): string {
  if (typeof value === 'string') return `\`'${value}'\``
  if (typeof value === 'number')
    return `\`${value.toLocaleString('en').replaceAll(',', '_').replace('∞', 'Infinity')}\``
  return `\`${typeof value === 'object' ? JSON.stringify(value) : String(value)}\``
}

/** The cells of the first table below a heading, without its head. */
function tableUnder(file: string, heading: string): string[][] {
  const text = read(file)
  const start =
    new RegExp(`^#+ ${heading}$`, 'm').exec(text)?.index ?? expect.unreachable(`no heading ${heading}`)
  const table = /(?:^\|.*\n)+/m.exec(text.slice(start))?.[0] ?? ''
  const rows = table
    .trim()
    .split('\n')
    .map((row) =>
      row
        .slice(1, -1)
        .split(/(?<!\\)\|/)
        .map((cell) => cell.trim()),
    )
  return rows.slice(2)
}
