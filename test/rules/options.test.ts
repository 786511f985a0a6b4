import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { createRuntime } from '../../src/engine/runtime.ts'
import { closest } from '../../src/rules/options.ts'
import { Registry } from '../../src/rules/registry.ts'
import { checkAgainst, defineTask } from '../../src/rules/task.ts'
import { OptionsInvalidError } from '../../src/words/errors.ts'

const handler = new URL('file:///nowhere.js')
const task = defineTask({ name: 'email.welcome', handler })

/** What the options of a runtime, here any value, are refused with. */
function refusal(make: () => unknown): { message: string; path: string } {
  try {
    make()
  } catch (error) {
    if (error instanceof OptionsInvalidError) return error
    throw error
  }
  throw new Error('It was not refused.')
}
const runtimeWith = (options: object): { message: string; path: string } =>
  refusal(() => createRuntime({ tasks: [task], ...options }))

describe('an option that is wrong is refused with its path, its value and what was expected', () => {
  test.each([
    [{ maxPendng: 1 }, 'maxPendng', 'Did you mean "maxPending"?'],
    [{ pool: { thread: 2 } }, 'pool.thread', 'Did you mean "threads"?'],
    [{ pool: { threads: 0 } }, 'pool.threads', 'is 0; expected a whole number of at least 1'],
    [{ pool: { threads: 1.5 } }, 'pool.threads', 'is 1.5; expected a whole number'],
    [{ pools: { io: { niceness: 20 } } }, 'pools.io.niceness', 'is 20'],
    [{ timeout: -1 }, 'timeout', 'is -1; expected milliseconds, 0 or more'],
    [{ timeout: '5s' }, 'timeout', 'is "5s"; expected milliseconds'],
    [{ retry: { backoff: { type: 'linear' } } }, 'retry.backoff.type', "expected 'exponential' or 'fixed'"],
    [{ broker: {} }, 'broker', 'expected a broker'],
    [{ tasks: [{}] }, 'tasks', 'expected'],
  ])('%j', (options, path, message) => {
    const error = runtimeWith(options)
    expect(error.path).toContain(path.split('.')[0])
    expect(error.message).toContain(message)
  })

  test('of a task', () => {
    expect(refusal(() => defineTask({ name: 'has spaces', handler })).message).toContain('letters, digits')
    expect(refusal(() => defineTask({ name: 'x', handler: 'not a url' as never })).message).toContain(
      'import.meta.url',
    )
    const misspelt = { name: 'x', handler, timeot: 1 } as unknown as Parameters<typeof defineTask>[0]
    expect(refusal(() => defineTask(misspelt)).message).toContain('Did you mean "timeout"?')
  })
})

describe('two tasks', () => {
  test('of one name are refused', () => {
    const twin = defineTask({ name: 'email.welcome', handler })
    expect(refusal(() => new Registry([task, twin])).message).toContain('Two tasks are named "email.welcome"')
  })
})

describe('an unknown task', () => {
  const registry = new Registry([task, defineTask({ name: 'email.goodbye', handler })])

  test('is refused with the nearest name and the known ones', () => {
    expect(() => registry.find('email.welcom')).toThrow(
      expect.objectContaining({
        code: 'ERR_UNKNOWN_TASK',
        task: 'email.welcom',
        advice: expect.stringMatching(/Did you mean "email.welcome"\?.*email.goodbye/),
      }),
    )
  })

  test.each([['__proto__'], ['constructor'], ['toString'], ['']])(
    'named %j is as unknown as any other',
    (name) => {
      expect(() => registry.find(name)).toThrow(expect.objectContaining({ code: 'ERR_UNKNOWN_TASK' }))
    },
  )

  test('given as an object that is not the one of the runtime is refused', () => {
    expect(() => registry.find(defineTask({ name: 'email.welcome', handler }))).toThrow('email.welcome')
  })
})

describe('a payload schema', () => {
  test('gives the handler what it makes of the payload', () => {
    const schema = z.object({ at: z.coerce.date() })
    expect(checkAgainst(schema, { at: 0 }, 'payload')).toEqual({ value: { at: new Date(0) } })
  })

  test('that refuses gives its issues with their paths', () => {
    const schema = z.object({ to: z.array(z.email()) })
    expect(checkAgainst(schema, { to: ['nobody'] }, 'payload')).toEqual({
      issues: [{ message: expect.any(String), path: ['to', 0] }],
    })
  })

  test('that turns out to be asynchronous is refused', () => {
    const schema = z.string().refine(async () => true)
    expect(() => checkAgainst(schema, 'x', 'payload')).toThrow('asynchronous')
  })

  test('is needed for a task that is given a payload', () => {
    const registry = new Registry([task])
    expect(() => registry.parse(registry.find('email.welcome'), { to: 1 })).toThrow(
      expect.objectContaining({ code: 'ERR_PAYLOAD_INVALID', status: 400 }),
    )
  })
})

test('a mistyped word is matched with the nearest known one, or with none when nothing is near', () => {
  expect(closest('treads', ['threads', 'tasks'])).toBe('threads')
  expect(closest('MAXPENDING', ['maxPending'])).toBe('maxPending')
  expect(closest('zzzzzz', ['threads', 'tasks'])).toBeUndefined()
})
