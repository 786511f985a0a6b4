import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { memoryBroker } from '../../src/brokers/memory.ts'
import type { Broker } from '../../src/brokers/port/broker.ts'
import type { ScheduleStore, StoredSchedule } from '../../src/brokers/port/schedules.ts'
import { sqliteBroker } from '../../src/brokers/sqlite.ts'
import { realPorts } from '../../src/engine/ports.ts'
import { Runtime } from '../../src/engine/runtime.ts'
import { defineTask } from '../../src/index.ts'
import type { Clock } from '../../src/words/clock.ts'
import { HandClock } from '../kit/hand-clock.ts'

const tick = defineTask({
  name: 'tick',
  handler: new URL('../fixtures/handlers/http-note.ts', import.meta.url),
})

/** A runtime whose pool never starts a job: what schedules add can be counted. */
function runtimeWith(
  clock: Clock,
  broker: Broker = memoryBroker(),
): { runtime: Runtime; added: string[]; end: () => Promise<unknown> } {
  const runtime = new Runtime(
    { tasks: [tick], broker, pool: { threads: 1 }, log: false },
    { ...realPorts, clock },
  )
  runtime.pause()
  const added: string[] = []
  runtime.on('job:enqueued', ({ job }) => void added.push(job.name))
  let ended: Promise<unknown> | undefined
  const end = (): Promise<unknown> => {
    ended ??= runtime.stop({ timeout: 0 })
    // Whatever of a stop waits for time gets it.
    if (clock instanceof HandClock) clock.advance(60_000)
    return ended
  }
  onTestFinished(() => void end())
  return { runtime, added, end }
}

test('a schedule adds a job each time it is due', () => {
  const clock = new HandClock()
  const { runtime, added } = runtimeWith(clock)
  const info = runtime.schedule('beat', tick, undefined, { every: 1000 })
  expect(info.nextAt).toBe(clock.wall() + 1000)
  clock.advance(3500)
  expect(added).toHaveLength(3)
})

test('a schedule in a time zone adds its job at that hour through the change to summer time', () => {
  const clock = new HandClock()
  const { runtime, added } = runtimeWith(clock)
  clock.jumpWall(Date.parse('2026-03-27T12:00:00Z') - clock.wall())
  runtime.schedule('nightly', tick, undefined, { cron: '0 3 * * *', timeZone: 'Europe/Berlin' })
  const days: string[] = []
  for (let hour = 0; hour < 72; hour++) {
    const before = added.length
    clock.advance(3_600_000)
    if (added.length > before) days.push(new Date(clock.wall()).toISOString())
  }
  expect(days).toEqual(['2026-03-28T02:00:00.000Z', '2026-03-29T01:00:00.000Z', '2026-03-30T01:00:00.000Z'])
})

test('a schedule that is set again unchanged keeps its time, and a changed one starts anew', () => {
  const clock = new HandClock()
  const { runtime } = runtimeWith(clock)
  const first = runtime.schedule('beat', tick, undefined, { every: 1000 })
  clock.advance(400)
  expect(runtime.schedule('beat', tick, undefined, { every: 1000 }).nextAt).toBe(first.nextAt)
  expect(runtime.schedule('beat', tick, undefined, { every: 500 }).nextAt).toBe(clock.wall() + 500)
})

test('a paused schedule adds nothing, also when it is set again, and goes on with its next run', async () => {
  const clock = new HandClock()
  const { runtime, added } = runtimeWith(clock)
  const set = (every: number) => runtime.schedule('beat', tick, undefined, { every })
  set(1000)
  expect(await runtime.pauseSchedule('beat')).toBe(true)
  clock.advance(1500)
  expect([set(1000).paused, set(2000).paused]).toEqual([true, true])
  clock.advance(5000)
  expect(added).toEqual([])
  expect(await runtime.resumeSchedule('beat')).toBe(true)
  expect(added).toEqual([])
  clock.advance(2000)
  expect(added).toHaveLength(1)
  expect(await runtime.pauseSchedule('none')).toBe(false)
})

test('a schedule is run now beside its times, paused or not, and who did so is told', async () => {
  const clock = new HandClock()
  const { runtime, added } = runtimeWith(clock)
  const told: unknown[] = []
  runtime.on('audit', (event) => told.push(event))
  const { nextAt } = runtime.schedule('beat', tick, undefined, { every: 1000 })
  await runtime.pauseSchedule('beat', { by: 'ada' })
  const job = await runtime.runSchedule('beat', { by: 'bob' })
  expect([job?.name, added]).toEqual(['tick', ['tick']])
  expect(await runtime.schedules()).toMatchObject([{ id: 'beat', nextAt, paused: true }])
  expect(await runtime.runSchedule('none')).toBeUndefined()
  await runtime.unschedule('beat')
  const on = { schedule: 'beat' }
  expect(told).toEqual([
    { action: 'pause', by: 'ada', on, count: 1, added: undefined },
    { action: 'run', by: 'bob', on, count: 1, added: job?.id },
    { action: 'run', by: undefined, on: { schedule: 'none' }, count: 0, added: undefined },
    { action: 'unschedule', by: undefined, on, count: 1, added: undefined },
  ])
})

test('a schedule of a journal that was paused is so after a restart, though its code sets it again', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'aftertask-paused-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const broker = () => sqliteBroker({ file: join(folder, 'journal.sqlite'), durability: 'process' })
  const first = runtimeWith(realPorts.clock, broker())
  first.runtime.schedule('beat', tick, undefined, { every: 3_600_000 })
  expect(await first.runtime.pauseSchedule('beat')).toBe(true)
  await first.end()
  const { runtime, end } = runtimeWith(realPorts.clock, broker())
  runtime.schedule('beat', tick, undefined, { every: 3_600_000 })
  expect(await runtime.schedules()).toMatchObject([{ id: 'beat', paused: true }])
  expect(await runtime.resumeSchedule('beat')).toBe(true)
  expect(await runtime.schedules()).toMatchObject([{ id: 'beat', paused: false }])
  await end()
})

test('a schedule that is taken away adds nothing more and is listed no more', async () => {
  const clock = new HandClock()
  const { runtime, added } = runtimeWith(clock)
  runtime.schedule('beat', tick, undefined, { every: 1000 })
  expect((await runtime.schedules()).map(({ id, task }) => [id, task])).toEqual([['beat', 'tick']])
  expect(await runtime.unschedule('beat')).toBe(true)
  expect(await runtime.unschedule('beat')).toBe(false)
  clock.advance(5000)
  expect([added, await runtime.schedules()]).toEqual([[], []])
})

test('a schedule is refused once the runtime stops', async () => {
  const { runtime, end } = runtimeWith(new HandClock())
  const ended = end()
  expect(() => runtime.schedule('beat', tick, undefined, { every: 1000 })).toThrow(
    expect.objectContaining({ code: 'ERR_RUNTIME_STOPPED' }),
  )
  await ended
  expect(await runtime.schedules()).toEqual([])
})

test.each(['2026-03-28T23:00:00Z', '2026-10-24T22:00:00Z'])(
  'a schedule of several fixed times adds each of them once on a day on which the clocks change (%s)',
  (midnight) => {
    const clock = new HandClock()
    const { runtime, added } = runtimeWith(clock)
    clock.jumpWall(Date.parse(midnight) - clock.wall())
    runtime.schedule('backup', tick, undefined, { cron: '30 2,14 * * *', timeZone: 'Europe/Berlin' })
    const hours: number[] = []
    for (let hour = 1; hour <= 23; hour++) {
      const before = added.length
      clock.advance(3_600_000)
      if (added.length > before) hours.push(hour)
    }
    // 03:00 is the third hour of the day in spring; 02:30 comes first in the third hour in autumn.
    expect([added.length, hours[0]]).toEqual([2, midnight.startsWith('2026-03') ? 2 : 3])
  },
)

test('a schedule in a journal outlives its process, and makes up once for what was missed', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'aftertask-schedule-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const broker = () => sqliteBroker({ file: join(folder, 'journal.sqlite'), durability: 'process' })
  const first = runtimeWith(realPorts.clock, broker())
  await first.runtime.ready()
  const { nextAt } = first.runtime.schedule('beat', tick, undefined, { every: 40_000 })
  expect(await first.runtime.schedules()).toHaveLength(1)
  await first.end()
  // A day later, by the wall clock.
  const later: Clock = { ...realPorts.clock, wall: () => Date.now() + 86_400_000 }
  const second = runtimeWith(later, broker())
  const added = new Promise((resolve) => second.runtime.on('job:enqueued', ({ job }) => resolve(job.name)))
  expect(await added).toBe('tick')
  const [schedule] = await second.runtime.schedules()
  expect(((schedule?.nextAt ?? 0) - nextAt) % 40_000).toBe(0)
  expect(schedule?.nextAt).toBeGreaterThan(later.wall())
  await second.end()
})

test.each([-3_600_000, -60_000, -315_360_000_000])(
  'a schedule goes on when the clock is set back by %i ms while the process runs, in its own rhythm',
  (step) => {
    const clock = new HandClock()
    const { runtime, added } = runtimeWith(clock)
    clock.jumpWall(Date.parse('2026-03-10T12:00:10Z') - clock.wall())
    runtime.schedule('beat', tick, undefined, { every: 1000 })
    clock.advance(3500)
    clock.jumpWall(step)
    clock.advance(10_000)
    expect(added.length).toBeGreaterThanOrEqual(12)
    runtime.schedule('minutely', tick, undefined, { cron: '* * * * *' })
    const before = added.length
    clock.jumpWall(step)
    clock.advance(180_000)
    // The beat, and a run each minute.
    expect(added.length - before).toBeGreaterThanOrEqual(180)
    expect(added.length - before).toBeLessThanOrEqual(185)
  },
)

test('a schedule is not late for the whole step when the clock is set on while nothing is due', () => {
  const clock = new HandClock()
  const { runtime, added } = runtimeWith(clock)
  clock.jumpWall(Date.parse('2026-03-10T01:00:00Z') - clock.wall())
  runtime.schedule('nightly', tick, undefined, { cron: '0 3 * * *', timeZone: 'UTC' })
  clock.advance(1000)
  clock.jumpWall(3_600_000)
  clock.advance(3_599_000)
  expect(added).toHaveLength(1)
})

test('a schedule makes each run once through steps of the clock forth and back by less than a minute', () => {
  const clock = new HandClock()
  const { runtime, added } = runtimeWith(clock)
  clock.jumpWall(Date.parse('2026-03-10T02:59:50Z') - clock.wall())
  runtime.schedule('nightly', tick, undefined, { cron: '0 3 * * *', timeZone: 'UTC' })
  clock.advance(15_000)
  for (const step of [-30_000, 20_000, -25_000, 5000]) {
    clock.jumpWall(step)
    clock.advance(60_000)
  }
  expect(added).toHaveLength(1)
})

test('a schedule in a journal that was set while the clock was ahead is due by the right time at the next start', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'aftertask-ahead-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const broker = () => sqliteBroker({ file: join(folder, 'journal.sqlite'), durability: 'process' })
  const ahead: Clock = { ...realPorts.clock, wall: () => Date.now() + 315_360_000_000 }
  const wrong = runtimeWith(ahead, broker())
  await wrong.runtime.ready()
  wrong.runtime.schedule('beat', tick, undefined, { every: 40_000 })
  wrong.runtime.schedule('minutely', tick, undefined, { cron: '* * * * *' })
  await wrong.runtime.schedules()
  await wrong.end()
  const right = runtimeWith(realPorts.clock, broker())
  await right.runtime.ready()
  // Found by the id alone, and by the same code.
  right.runtime.schedule('beat', tick, undefined, { every: 40_000 })
  const due = (await right.runtime.schedules()).map(({ nextAt }) => nextAt - Date.now() <= 60_000)
  expect(due).toEqual([true, true])
  await right.end()
})

const A_MINUTE = 60_000

/** A store that has these schedules from an earlier deploy, each due every minute; with a lease it is shared. */
function keeping(clock: Clock, ids: Readonly<Record<string, string>>, isShared = false) {
  const rule = { every: A_MINUTE, anchor: clock.wall(), missed: 'once' }
  const all = new Map(
    Object.entries(ids).map(([id, task]) => {
      const definition = JSON.stringify({ task, payload: null, rule })
      return [id, { id, definition, nextAt: clock.wall() + A_MINUTE }] as const
    }),
  )
  const lease = {
    acquire: async () => true,
    release: async () => {},
    complete: async (schedule: StoredSchedule, nextAt: number) =>
      void all.set(schedule.id, { ...schedule, nextAt }),
    wall: () => clock.wall(),
    onChange: () => {},
  }
  const schedules: ScheduleStore = {
    load: async () => [...all.values()],
    put: (schedule) => void all.set(schedule.id, schedule),
    remove: (id) => void all.delete(id),
    lease: isShared ? lease : null,
  }
  return Object.assign(memoryBroker(), { schedules })
}

/** What is told of stale schedules while ten minutes pass, and which lines are written. */
async function toldOf(isShared: boolean): Promise<{ told: string[]; lines: string[]; runtime: Runtime }> {
  const clock = new HandClock()
  const lines: string[] = []
  const broker = keeping(clock, { gone: 'renamed', old: 'tick', older: 'tick', own: 'tick' }, isShared)
  const runtime = new Runtime(
    { tasks: [tick], broker, pool: { threads: 1 }, log: ({ message }) => void lines.push(message) },
    { ...realPorts, clock },
  )
  onTestFinished(async () => {
    const ended = runtime.stop({ timeout: 0 })
    clock.advance(A_MINUTE)
    await ended
  })
  runtime.pause()
  const told: string[] = []
  runtime.on('schedule:stale', ({ schedule, reason }) => void told.push(`${schedule.id} ${reason}`))
  runtime.schedule('own', tick, undefined, { every: A_MINUTE })
  await runtime.schedules()
  for (let minute = 0; minute < 10; minute++) {
    clock.advance(A_MINUTE)
    await runtime.schedules()
  }
  return { told, lines, runtime }
}

test('a schedule that the code does not name, or whose task it does not have, is told of once, and in one line', async () => {
  const { told, lines } = await toldOf(false)
  expect(told).toEqual(['gone no-task', 'old not-set', 'older not-set'])
  expect(lines).toEqual([
    expect.stringContaining('schedule "gone" is due, but no task is named "renamed"'),
    expect.stringContaining('schedule "old" runs, and this process has not set it'),
  ])
})

test('a schedule of several processes is told of when none has its task, and not when another may have set it', async () => {
  const { told, lines } = await toldOf(true)
  expect(told).toEqual(['gone no-task'])
  expect(lines).toHaveLength(1)
})

test.each([true, false])(
  'schedules that this process has not set are listed as such, and taken away by one call (shared: %s)',
  async (isShared) => {
    const { runtime } = await toldOf(isShared)
    const facts = (await runtime.schedules()).map(({ id, setHere, hasTask }) => [id, setHere, hasTask])
    expect(facts).toEqual([
      ['gone', false, false],
      ['old', false, true],
      ['older', false, true],
      ['own', true, true],
    ])
    expect(await runtime.unscheduleOthers()).toEqual(['gone', 'old', 'older'])
    expect(await runtime.unscheduleOthers()).toEqual([])
    expect((await runtime.schedules()).map(({ id }) => id)).toEqual(['own'])
  },
)
