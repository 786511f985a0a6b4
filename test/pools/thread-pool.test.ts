/** The rules of a pool, with threads that come and go as the test says. Real ones are in `test/engine`. */
import { describe, expect, test } from 'vitest'
import type { ThreadLane } from '../../src/pools/lane.ts'
import type { Lane, LaneExit, PoolHost } from '../../src/pools/pool.ts'
import { type ThreadEnd, ThreadPool, type ThreadSource } from '../../src/pools/thread-pool.ts'
import { Moved } from '../../src/rules/moved.ts'
import { type HandlerLocation, IMPORTING, type LaneSetup, laneTable } from '../../src/rules/protocol.ts'
import { type PoolOptions, poolOptionsSchema } from '../../src/rules/runtime-schemas.ts'
import { HandClock } from '../kit/hand-clock.ts'
import { recordOf } from '../kit/records.ts'

/** A start that waits for the test to decide what becomes of it. */
interface Start {
  readonly setup: Omit<LaneSetup, 'env'>
  readonly up: () => void
  readonly end: (exitCode?: number) => void
  isTerminated: boolean
}

function poolOf(options: PoolOptions, handlers: readonly HandlerLocation[] = []) {
  const clock = new HandClock()
  const starts: Start[] = []
  const exits: LaneExit[] = []
  const revoked: unknown[] = []
  const source: ThreadSource = {
    start(setup: LaneSetup, up, ended: (end: ThreadEnd) => void) {
      const start: Start = {
        setup,
        up: () =>
          up({ threadId: starts.length, terminate: () => Object.assign(start, { isTerminated: true }) }, []),
        end: (exitCode = 1) => {
          setup.port.close()
          ended({ exitCode, error: undefined })
        },
        isTerminated: false,
      }
      starts.push(start)
      return (error) => ended({ exitCode: 1, error })
    },
    stop: async () => {
      for (const start of starts) start.end(0)
    },
  }
  const pool = new ThreadPool(
    {
      name: 'default',
      options: poolOptionsSchema.parse(options),
      handlers,
      idPrefix: 'j',
      clock,
      measuresCpu: false,
    },
    source,
  )
  const host = {
    laneFree: () => {},
    threadStarted: () => {},
    exited: (_: unknown, exit: LaneExit) => exits.push(exit),
    revoked: (job: unknown) => revoked.push(job),
  } as unknown as PoolHost
  pool.start(host)
  return { pool, clock, starts, exits, revoked }
}

const firstLane = (lanes: ReadonlySet<Lane>): ThreadLane => [...lanes][0] as ThreadLane

describe('a pool', () => {
  test('starts its minimum at once, and at least one thread to learn about the handlers', () => {
    expect(poolOf({ threads: 3 }).starts).toHaveLength(3)
    expect(poolOf({ min: 0, max: 4 }).starts).toHaveLength(1)
  })

  test('starts one thread at a time when it grows, up to its maximum', () => {
    const { pool, starts } = poolOf({ min: 1, max: 3 })
    pool.grow()
    expect(starts).toHaveLength(1)
    for (const expected of [2, 3, 3]) {
      starts.at(-1)?.up()
      pool.grow()
      pool.grow()
      expect(starts).toHaveLength(expected)
    }
  })

  test('replaces a thread that is to be replaced before it is gone', () => {
    const { pool, starts } = poolOf({ threads: 1 })
    starts[0]?.up()
    const job = recordOf(1)
    firstLane(pool.lanes).send([job])
    firstLane(pool.lanes).retire()
    expect(starts).toHaveLength(2)
  })

  test('has an end to the replacements of threads that do not go', () => {
    const { pool, starts } = poolOf({ threads: 1 })
    for (let round = 0; round < 20; round++) {
      starts.at(-1)?.up()
      const lane = [...pool.lanes].find(({ retiring }) => !retiring)
      lane?.send([recordOf(round)])
      lane?.retire()
    }
    expect(starts.length).toBeLessThanOrEqual(6)
  })

  test('waits longer with each death in a row, tries with one thread, and has all again once a job ends well', () => {
    const { pool, clock, starts, exits } = poolOf({ threads: 2 })
    for (let death = 0; death < 3; death++) starts[death]?.end()
    expect(exits.map(({ restartIn }) => restartIn)).toEqual([0, 0, 100])
    starts[3]?.end()
    expect(starts).toHaveLength(4)
    clock.advance(199)
    expect(starts).toHaveLength(4)
    clock.advance(1)
    expect(starts).toHaveLength(5)
    starts[4]?.up()
    const lane = firstLane(pool.lanes)
    const host = Reflect.get(pool, 'completed') as ThreadPool['completed']
    expect(() => host.call(pool, lane, recordOf(1), undefined, 0, 0)).toThrow()
    expect(starts).toHaveLength(6)
  })
})

describe('a lane that is to be replaced', () => {
  test('gives back jobs that have not started, but keeps one whose payload was moved there', () => {
    const { pool, starts, revoked } = poolOf({ threads: 1, concurrency: 4 })
    starts[0]?.up()
    const plain = recordOf(1)
    const moved = recordOf(2)
    moved.payload = new Moved(new Uint8Array(), [])
    const lane = firstLane(pool.lanes)
    lane.send([plain, moved])
    lane.retire()
    expect(revoked).toEqual([plain])
    expect([...lane.inFlight.keys()]).toEqual([moved])
    expect(lane.room()).toBe(0)
  })
})

describe('a pool whose threads die over the import of a handler', () => {
  const located = (task: string): HandlerLocation => ({
    task,
    module: `file:///${task}.js`,
    export: 'default',
  })
  const both = [located('good'), located('bad')]
  const dieOver = (start: Start | undefined, word: number): void => {
    if (start === undefined) throw new Error('There is no such start.')
    laneTable(start.setup.table).header[IMPORTING] = word
    start.end()
  }
  const leftOut = (start: Start | undefined): (string | undefined)[] | undefined =>
    start?.setup.handlers.map((handler) => handler?.leftOut)

  test('leaves the handler out after two of them, and neither waits nor gives up', () => {
    const { starts, exits } = poolOf({ threads: 1 }, both)
    dieOver(starts[0], 2)
    expect(leftOut(starts[1])).toEqual([undefined, undefined])
    dieOver(starts[1], 2)
    expect(leftOut(starts[2])).toEqual([undefined, 'its thread ended while it was loading: exit code 1'])
    expect(exits.map(({ restartIn }) => restartIn)).toEqual([0, 0])
  })

  test('leaves it out at once when the thread itself says that it can run nothing any more', () => {
    const { starts } = poolOf({ threads: 1 }, both)
    const { table } = (starts[0] as Start).setup
    const views = laneTable(table)
    views.resultLength[0] = views.results.write('it is ruined')
    dieOver(starts[0], -2)
    expect(leftOut(starts[1])).toEqual([undefined, 'it is ruined'])
  })

  test('blames no handler for threads that a stop ends', async () => {
    const { pool, starts } = poolOf({ threads: 2 }, both)
    for (const { setup } of starts) laneTable(setup.table).header[IMPORTING] = 2
    await pool.stop()
    expect(starts).toHaveLength(2)
  })
})
