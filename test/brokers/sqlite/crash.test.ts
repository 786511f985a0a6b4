/**
 * A process is killed with SIGKILL at random moments and at named points, and another goes on with its file.
 * `ROUNDS=200 npx vitest run test/brokers/sqlite/crash.test.ts` for the long run.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { KilledProcesses } from './witness.ts'

const rounds = Number(process.env['ROUNDS'] ?? 6)
let killed: KilledProcesses

beforeEach(() => {
  killed = new KilledProcesses()
})
afterEach(() => {
  killed.end()
})

describe('a process that is killed under load', () => {
  test('loses no acknowledged job, and repeats none whose end it told', {
    timeout: 180_000 + rounds * 5000,
  }, async () => {
    for (let round = 1; round <= rounds; round++) await killed.kill(round, Math.random() * 150)
    expect(await killed.drain()).toBe(0)
    const { lost, again, dead, acked, repeated } = killed.judge()
    console.log(
      `${rounds} kills: ${acked} acknowledged, ${lost.length} lost, ${repeated} run again, ${dead.length} dead`,
    )
    expect({ lost, again, dead }).toEqual({ lost: [], again: [], dead: [] })
    expect(acked).toBeGreaterThan(rounds)
  })
})

describe('a process that ends', () => {
  test.each([
    ['before a commit', 'before-commit', 9],
    ['after a commit, before it has said so', 'after-commit', 9],
    ['after a claim', 'after-claim', 5],
    ['before the final write of a job', 'before-the-final-write', 7],
    ['with one of its jobs', 'mid-run', 3],
    ['before a checkpoint', 'before-checkpoint', 0],
    ['during a checkpoint', 'during-checkpoint', 0],
  ])('%s loses no acknowledged job', async (_name, point, after) => {
    await killed.failAt(1, point, after)
    await killed.failAt(2, point, after + 1)
    let code = await killed.drain()
    // A job that takes its process along takes the next ones along too, until it has used up its crashes.
    for (let tries = 0; code !== 0 && tries < 10; tries++) code = await killed.drain()
    expect(code).toBe(0)
    const { lost, again, acked, dead } = killed.judge()
    expect({ lost, again }).toEqual({ lost: [], again: [] })
    expect(acked).toBeGreaterThan(0)
    expect(dead.length).toBe(point === 'mid-run' ? 2 : 0)
  })
})
