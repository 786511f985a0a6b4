import { describe, expect, test } from 'vitest'
import { circles, importGraph, optionalMembers } from './structure.ts'

/** Rooms that still have circles inside; the list may only get shorter. */
const unfinished = /^(?:src\/brokers\/bullmq\/|workers\/[^/]+$)/

describe('the files of the library', () => {
  test('import each other in no circle, types included', () => {
    const found = circles(importGraph()).filter((circle) => !circle.every((file) => unfinished.test(file)))
    expect(found.map((circle) => circle.join(' '))).toEqual([])
  })
})

describe('the search for circles', () => {
  test('finds a circle of two files and one of three, and no others', () => {
    const graph = new Map([
      ['a', ['b']],
      ['b', ['a', 'c']],
      ['c', ['d']],
      ['d', ['e']],
      ['e', ['c', 'f']],
      ['f', []],
    ])
    expect(circles(graph)).toEqual([
      ['a', 'b'],
      ['c', 'd', 'e'],
    ])
  })
})

describe('the count of optional members', () => {
  test('is that of an interface, properties and methods', () => {
    expect(optionalMembers('src/engine/log.ts', 'LogLine')).toEqual(['job', 'data', 'error'])
  })
})
