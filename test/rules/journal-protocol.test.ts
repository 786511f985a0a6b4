import { expect, test } from 'vitest'
import { errorFromText, errorText } from '../../src/rules/journal-protocol.ts'
import { fromWireError, toWireError } from '../../src/rules/wire-error.ts'

test('an error with properties that JSON does not have comes back whole from a column', () => {
  const at = new Date(5)
  const error = Object.assign(new RangeError('late'), { at, sums: new Map([['a', 1n]]) })
  const cause = Object.assign(new Error('inner'), { bytes: new Uint8Array([1, 2]) })
  const read = fromWireError(errorFromText(errorText(toWireError(Object.assign(error, { cause })))))
  expect(read).toMatchObject({ name: 'RangeError', message: 'late', at, sums: new Map([['a', 1n]]) })
  expect(Reflect.get(read.cause as Error, 'bytes')).toEqual(new Uint8Array([1, 2]))
})

test('a property that looks like stored bytes stays what it is', () => {
  const error = Object.assign(new Error('x'), { base64: 'AQI=' })
  expect(fromWireError(errorFromText(errorText(toWireError(error))))).toMatchObject({ base64: 'AQI=' })
})
