/** When a task that keeps ending threads may start a job, in time that is moved by hand. */
import { describe, expect, test } from 'vitest'
import type { ReadyJobs } from '../../src/brokers/port/broker.ts'
import { CrashHolds } from '../../src/engine/crash-holds.ts'
import type { Lane, Pool } from '../../src/pools/pool.ts'
import type { JobRecord } from '../../src/rules/job-record.ts'
import { HandClock } from '../kit/hand-clock.ts'
import { entryOf, recordOf } from '../kit/records.ts'

const killer = entryOf('killer')
const other = entryOf('other')

function holdsWith({ canHold = true } = {}) {
  const clock = new HandClock()
  let waiting: JobRecord | undefined
  const lane = { concurrency: 8, inFlight: { size: 0 } }
  const ready = { peek: () => waiting, holdsTasks: canHold, hold: () => {} } as unknown as ReadyJobs
  const pools = new Map([['default', { lanes: [lane as unknown as Lane] } as unknown as Pool]])
  const holds = new CrashHolds({ ready, clock, pools, wake: () => {} })
  const die = (times: number): void => {
    for (let death = 0; death < times; death++) {
      if (holds.isHeld(killer)) holds.claimed(recordOf(1, { entry: killer }))
      holds.died(killer)
    }
  }
  /** Milliseconds until the next job of the task may start. */
  const wait = (): number => {
    for (let waited = 0; waited <= 60_000; waited += 5) {
      if (!holds.isShut(killer)) return waited
      clock.advance(5)
    }
    return Number.POSITIVE_INFINITY
  }
  return {
    holds,
    clock,
    die,
    wait,
    lane,
    needed: (isNeeded: boolean) => {
      waiting = isNeeded ? recordOf(2, { entry: other }) : undefined
    },
  }
}

describe('a task that ends threads', () => {
  test('starts at once until it has ended three in a row', () => {
    const { holds, die } = holdsWith()
    die(2)
    expect([holds.isAny, holds.isShut(killer)]).toEqual([false, false])
    die(1)
    expect([holds.isAny, holds.isShut(killer), holds.isShut(other)]).toEqual([true, true, false])
  })

  test('waits twice as long with each further one, up to half a minute, while others need its pool', () => {
    const { die, wait, needed } = holdsWith()
    needed(true)
    die(3)
    const waits = [wait()]
    for (let death = 0; death < 6; death++) {
      die(1)
      waits.push(wait())
    }
    expect(waits).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000])
  })

  test('waits for no longer than a moment once nobody else needs its pool', () => {
    const { die, wait, needed, clock } = holdsWith()
    needed(true)
    die(5)
    clock.advance(1000)
    needed(false)
    expect(wait()).toBeLessThanOrEqual(500)
    die(1)
    expect(wait()).toBeLessThanOrEqual(50)
  })

  test('waits while a job of another task runs on a thread that the next one would share', () => {
    const { die, wait, lane } = holdsWith()
    lane.inFlight.size = 1
    die(4)
    expect(wait()).toBe(2000)
  })

  test('is free again with the first attempt that does no harm', () => {
    const { holds, die } = holdsWith()
    die(7)
    holds.lived(killer)
    expect([holds.isAny, holds.count, holds.isShut(killer)]).toEqual([false, 0, false])
    die(2)
    expect(holds.isShut(killer)).toBe(false)
  })

  test('is charged once for jobs that were on their way together when the hold began', () => {
    const { holds, die, wait, needed } = holdsWith()
    needed(true)
    die(3)
    for (let together = 0; together < 5; together++) holds.died(killer)
    expect(wait()).toBe(1000)
  })

  test('has its crashed jobs wait where the broker cannot hold back a whole task', () => {
    const { holds, die } = holdsWith({ canHold: false })
    die(2)
    expect(holds.retryDelay(killer)).toBe(0)
    die(1)
    expect(holds.retryDelay(killer)).toBe(1000)
    die(4)
    expect(holds.retryDelay(killer)).toBe(5000)
  })
})
