import { describe, expect, test } from 'vitest'
import { readOptions } from '../../src/rules/options.ts'
import { poolOptionsSchema } from '../../src/rules/runtime-schemas.ts'

const read = (options: object): unknown => readOptions(poolOptionsSchema, options, 'createRuntime')

describe('the size of a pool', () => {
  test.each([{ min: 1 }, { max: 4 }, { min: 0, max: 4 }])(
    'is refused when it is fixed and grows at once: threads beside %j',
    (growing) => {
      expect(() => read({ threads: 2, ...growing })).toThrow(/"threads" is 2; expected no `min` or `max`/)
    },
  )

  test('is refused when its minimum is above its maximum', () => {
    expect(() => read({ min: 3, max: 2 })).toThrow(/"min" is 3; expected a number that is not above `max`/)
  })

  test.each([{}, { threads: 1 }, { min: 0 }, { max: 3 }, { min: 2, max: 2 }])('may be %j', (options) => {
    expect(read(options)).toMatchObject(options)
  })
})
