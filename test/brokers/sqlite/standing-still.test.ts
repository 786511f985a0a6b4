/** A process of a shared file that stands still: the others do what it has, and what it says when it wakes does not count. */
import { describe, expect, onTestFinished, test } from 'vitest'
import { COMPLETED, type JournalSetup, OP, type Reply } from '../../../src/rules/journal-protocol.ts'
import { Journal } from '../../../workers/journal/journal.ts'
import { journalFile } from './journal.fixture.ts'

const START = 1_700_000_000_000

/** A process of the file, by a clock of the test. */
class Peer {
  readonly #journal: Journal
  readonly run: number
  #number = 0

  constructor(file: string, name: string) {
    const task = { name: 'task', pool: 'default', concurrency: 64, onCrash: 'retry', maxCrashes: 3 } as const
    const setup: JournalSetup = {
      ...{ file, durability: 'process', isShared: true, window: 64, ageing: 1000, wall: START },
      ...{ idPrefix: `${name}-`, mode: 0o600, answerWithin: 0, logLimit: 2 ** 20, patience: 1000 },
      retention: { count: 1000, age: 1e12, dead: 1e12 },
      tasks: [{ ...task, retention: undefined }],
    }
    this.#journal = new Journal(setup)
    this.run = this.#journal.open().run
    onTestFinished(() => this.#journal.drop())
  }

  write(wall: number, ...ops: unknown[]): Reply {
    return this.#journal.write([{ number: ++this.#number, wall, ops, isRepeated: false }])
  }

  add(wall: number, seq: number): Reply {
    const places = [null, null, null, null, null, null]
    return this.write(wall, OP.add, seq, 0, 0, 0, wall, ...places, '1', null)
  }

  /** It looks around; what it is granted by that. */
  look(wall: number): number {
    return this.#journal.look(wall)?.rows.length ?? 0
  }

  finish(wall: number, seq: number): Reply {
    return this.write(wall, OP.finish, seq, 1, COMPLETED, null, null, null, 1, 0, 0, wall, wall, 1, null)
  }
}

/** Two processes; the first was granted a job that runs, and one that waits. */
function peers() {
  const file = journalFile()
  const [still, idle] = [new Peer(file, 'still'), new Peer(file, 'idle')]
  still.add(START, 1)
  still.add(START, 2)
  still.write(START, OP.mark, 1, 1)
  return { still, idle }
}

/** So many seconds of one process alone, from a time on; what it was granted. */
function alone(peer: Peer, seconds: number, from = START): number {
  let granted = 0
  for (let second = 1; second <= seconds; second++) granted += peer.look(from + second * 1000)
  return granted
}

describe('a process of a shared file that stands still', () => {
  test('keeps what it has for half a minute, and then gives all of it up', () => {
    const { idle } = peers()
    expect(alone(idle, 29)).toBe(0)
    expect(alone(idle, 5, START + 29_000)).toBe(2)
  })

  test('is refused what it says of it when it wakes, and goes on with what it adds', () => {
    const { still, idle } = peers()
    alone(idle, 40)
    const woken = still.finish(START + 41_000, 1)
    expect(woken.refused).toEqual([1])
    expect(woken.owned).toEqual([])
    expect(still.add(START + 42_000, 3).granted).toHaveLength(2)
    expect(still.finish(START + 43_000, 3).refused).toEqual([])
  })

  test('is not taken for one when the clock is set, nor when the whole machine has slept', () => {
    const { idle } = peers()
    expect(alone(idle, 10)).toBe(0)
    for (const step of [3_600_000, -3_600_000, 315_360_000_000]) expect(alone(idle, 3, START + step)).toBe(0)
  })

  test('is none while it says now and then that it is there', () => {
    const { still, idle } = peers()
    for (let second = 1; second <= 90; second++) {
      still.look(START + second * 1000)
      expect(idle.look(START + second * 1000)).toBe(0)
    }
  })
})

describe('a process of a shared file that is paused', () => {
  test('gives back what has not begun, is granted nothing, and keeps what runs', () => {
    const { still, idle } = peers()
    still.write(START + 1000, OP.pause, 'default', 1, OP.giveBack, 2, 0)
    expect(still.add(START + 2000, 3).granted).toEqual([])
    expect(idle.look(START + 3000)).toBe(2)
    expect(still.finish(START + 4000, 1).refused).toEqual([])
    still.write(START + 5000, OP.pause, 'default', 0)
    expect(still.add(START + 6000, 4).granted).toHaveLength(2)
  })
})
