/** How much room a journal takes on the disk. */
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { Worker } from 'node:worker_threads'
import { describe, expect, onTestFinished, test } from 'vitest'
import { APPLICATION_ID } from '../../../workers/journal/schema.ts'
import { journalFile } from './journal.fixture.ts'
import { LIMIT, Room } from './room.fixture.ts'

describe('the log of a journal', () => {
  test('stays near its limit, however large its jobs are', () => {
    const room = new Room(journalFile())
    let longest = 0
    for (let round = 0; round < 60; round++) {
      room.end(room.add(1, LIMIT / 4))
      longest = Math.max(longest, room.log)
    }
    expect(longest).toBeLessThan(2 * LIMIT)
  })

  test('stays near its limit, however many its jobs are', () => {
    const room = new Room(journalFile())
    let longest = 0
    for (let round = 0; round < 200; round++) {
      room.end(room.add(100, 100))
      longest = Math.max(longest, room.log)
    }
    expect(longest).toBeLessThan(2 * LIMIT)
  })

  test('is empty once there is nothing to write', () => {
    const room = new Room(journalFile())
    room.add(10, 1000)
    expect(room.log).toBeGreaterThan(0)
    room.rest()
    expect(room.log).toBe(0)
  })

  test('is cut again after one commit that was longer', () => {
    const room = new Room(journalFile())
    const jobs = room.add(1, 6 * LIMIT)
    expect(room.log).toBeGreaterThan(6 * LIMIT)
    room.end(jobs)
    room.add(1, 10)
    expect(room.log).toBeLessThan(2 * LIMIT)
  })

  test('is written while somebody reads an old state, and is emptied once that is over', () => {
    const file = journalFile()
    const room = new Room(file)
    room.add(10, 1000)
    const reader = new DatabaseSync(file)
    reader.exec('BEGIN; SELECT count(*) FROM jobs')
    for (let round = 0; round < 12; round++) room.end(room.add(1, LIMIT))
    expect(reader.prepare('SELECT count(*) AS jobs FROM jobs').get()).toEqual({ jobs: 10 })
    for (let look = 0; look < 5; look++) room.look()
    expect(room.log).toBeGreaterThan(2 * LIMIT)
    reader.exec('COMMIT')
    reader.close()
    room.rest()
    expect(room.log).toBe(0)
  })

  test('begins anew while there is always somebody who reads', async () => {
    const file = journalFile()
    const room = new Room(file)
    room.add(1, 10)
    const readers = new Worker(new URL('./workers/readers.ts', import.meta.url), { workerData: file })
    onTestFinished(async () => void (await readers.terminate()))
    await once(readers, 'message')
    const rounds = 60
    for (let round = 0; round < rounds; round++) room.end(room.add(1, LIMIT))
    expect(room.log).toBeLessThan((rounds * LIMIT) / 2)
  })
})

describe('the file of a journal', () => {
  test('becomes small again when its jobs are gone', () => {
    const room = new Room(journalFile())
    const jobs = room.add(40, LIMIT)
    room.rest()
    const full = room.size
    room.end(jobs)
    room.rest()
    expect(full).toBeGreaterThan(40 * LIMIT)
    expect(room.size).toBeLessThan(full / 5)
    expect(room.log).toBe(0)
  })

  test('becomes small again while there is a little to write all the time', () => {
    const room = new Room(journalFile())
    const jobs = room.add(20, LIMIT)
    room.rest()
    const full = room.size
    room.end(jobs)
    for (let look = 0; look < 60; look++) {
      room.end(room.add(1, 10))
      room.look()
    }
    room.rest()
    expect(room.size).toBeLessThan(full / 2)
  })

  test('of an older release keeps its pages, and is left alone', () => {
    const file = journalFile()
    const old = new DatabaseSync(file)
    old.exec(`PRAGMA auto_vacuum = NONE; PRAGMA application_id = ${APPLICATION_ID}`)
    old.close()
    const room = new Room(file)
    const jobs = room.add(20, LIMIT)
    room.end(jobs)
    expect(room.rest()).toBeLessThan(5)
    expect(room.size).toBeGreaterThan(20 * LIMIT)
  })
})

describe('a shared journal', () => {
  test.each(['-wal', '-shm'])(
    'whose %s was removed is told to be replaced, by every process that has it',
    (suffix) => {
      const file = journalFile()
      const rooms = [new Room(file, true), new Room(file, true)]
      for (const room of rooms) room.add(1, 10)
      for (const { journal } of rooms) expect(journal.watch(1, false)).toBeUndefined()
      rmSync(file + suffix)
      for (const { journal } of rooms) {
        const fault = { kind: 'replaced', message: expect.stringContaining('Stop every process of the file') }
        expect(journal.watch(1, false)).toEqual(fault)
        // It stays so: what one process makes anew, the others do not see.
        expect(journal.watch(1, true)).toEqual(fault)
      }
    },
  )
})
