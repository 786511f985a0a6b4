import { describe, expect, test } from 'vitest'
import type { Clock } from '../../src/words/clock.ts'
import { ClockOffset } from '../../src/words/clock-offset.ts'

/** Two clocks that a test sets; `pauses` are what passes between two readings of them, one after the other. */
function clocks(at: { now: number; wall: number; pauses?: number[] }): Clock {
  const read = (which: 'now' | 'wall') => (): number => {
    const value = at[which]
    const pause = at.pauses?.shift() ?? 0
    at.now += pause
    at.wall += pause
    return value
  }
  return { now: read('now'), wall: read('wall') } as Clock
}

describe('the offset between the clocks', () => {
  test('reads a time of the monotonic clock on the wall, and back', () => {
    const offset = new ClockOffset(clocks({ now: 100.25, wall: 5000 }))
    expect(offset.wall(100.25)).toBe(5000)
    expect(offset.wall(90)).toBe(4989.75)
    expect(offset.monotonic(5000)).toBe(100)
    expect(offset.monotonic(5001)).toBe(101)
  })

  test('stays the same while the clocks differ by what a reading is off', () => {
    const at = { now: 0, wall: 1000 }
    const offset = new ClockOffset(clocks(at))
    expect(offset.wall(7)).toBe(1007)
    for (const drift of [1, -1, 5, -5]) {
      at.wall = 1000 + drift
      expect(offset.wall(7)).toBe(1007)
    }
  })

  test('follows a wall clock that is set', () => {
    const at = { now: 0, wall: 1000 }
    const offset = new ClockOffset(clocks(at))
    expect(offset.wall(7)).toBe(1007)
    at.wall = 500
    expect(offset.wall(7)).toBe(507)
    expect(offset.monotonic(507)).toBe(7)
  })

  test('takes no pause of the process for a clock that was set', () => {
    const at = { now: 0, wall: 1000, pauses: [0] }
    const offset = new ClockOffset(clocks(at))
    expect(offset.wall(0)).toBe(1000)
    // The process stands still between the reading of one clock and that of the other.
    at.pauses = [200]
    expect(offset.wall(0)).toBe(1000)
  })

  test('stays as it was when the process pauses at each reading', () => {
    const at = { now: 0, wall: 1000, pauses: [] as number[] }
    const offset = new ClockOffset(clocks(at))
    expect(offset.wall(0)).toBe(1000)
    at.pauses = new Array(100).fill(200)
    expect(offset.wall(0)).toBe(1000)
  })

  test('is one reading, the best that there is, when the process pauses at the first ones', () => {
    const at = { now: 0, wall: 1000, pauses: new Array(15).fill(50) }
    const offset = new ClockOffset(clocks(at))
    expect(offset.wall(0)).toBe(1000)
  })
})
