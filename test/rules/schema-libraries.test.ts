/** Payload schemas of every library that follows Standard Schema, each with types and messages of its own. */
import { type as ark } from 'arktype'
import * as valibot from 'valibot'
import { describe, expect, expectTypeOf, test } from 'vitest'
import { z } from 'zod'
import { z as zod3 } from 'zod-3'
import { Registry } from '../../src/rules/registry.ts'
import { type AnyTask, defineTask, type PayloadOf } from '../../src/rules/task.ts'

const handler = new URL('file:///nowhere.js')

const tasks = {
  'zod 4': defineTask({
    name: 'zod4',
    payload: z.object({ to: z.string(), tags: z.array(z.string()) }),
    handler,
  }),
  'zod 3.24': defineTask({
    name: 'zod3',
    payload: zod3.object({ to: zod3.string(), tags: zod3.array(zod3.string()) }),
    handler,
  }),
  valibot: defineTask({
    name: 'valibot',
    payload: valibot.object({ to: valibot.string(), tags: valibot.array(valibot.string()) }),
    handler,
  }),
  arktype: defineTask({ name: 'arktype', payload: ark({ to: 'string', tags: 'string[]' }), handler }),
}

describe('a payload schema', () => {
  test.each(Object.entries(tasks))(
    'of %s lets through what fits, and names the path of what does not',
    (_library, task) => {
      const registry = new Registry([task as AnyTask])
      const entry = registry.find(task as AnyTask)
      expect(registry.parse(entry, { to: 'ada', tags: ['a'] })).toEqual({ to: 'ada', tags: ['a'] })
      expect(() => registry.parse(entry, { to: 'ada', tags: ['a', 5] })).toThrow(
        expect.objectContaining({
          code: 'ERR_PAYLOAD_INVALID',
          issues: [expect.objectContaining({ path: ['tags', 1] })],
          message: expect.stringMatching(/^The payload of "\w+" is not valid: tags\.1: \S/),
        }),
      )
    },
  )

  test('of each library gives the task the type of its payload', () => {
    interface Expected {
      to: string
      tags: string[]
    }
    expectTypeOf<PayloadOf<(typeof tasks)['zod 4']>>().toEqualTypeOf<Expected>()
    expectTypeOf<PayloadOf<(typeof tasks)['zod 3.24']>>().toEqualTypeOf<Expected>()
    expectTypeOf<PayloadOf<(typeof tasks)['valibot']>>().toEqualTypeOf<Expected>()
    expectTypeOf<PayloadOf<(typeof tasks)['arktype']>>().toEqualTypeOf<Expected>()
  })
})
