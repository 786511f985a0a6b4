import { expect, test } from 'vitest'
import { matrix } from '../conformance/faces/matrix.ts'
import { read } from './tree.ts'

test('the page of frameworks shows the matrix that the conformance suite is made from', () => {
  expect(read('docs/frameworks/README.md').trimEnd().endsWith(matrix())).toBe(true)
})
