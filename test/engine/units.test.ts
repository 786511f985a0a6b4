/** The small parts of the engine that decide by themselves. */
import { describe, expect, test } from 'vitest'
import type { ReadyJobs } from '../../src/brokers/port/broker.ts'
import { Announcer } from '../../src/engine/announcer.ts'
import { CrashHolds } from '../../src/engine/crash-holds.ts'
import { JobIds } from '../../src/engine/ids.ts'
import { Log } from '../../src/engine/log.ts'
import { Pace } from '../../src/engine/pace.ts'
import { Rate } from '../../src/engine/rate.ts'
import { Redaction } from '../../src/engine/redaction.ts'
import { RunTimes } from '../../src/engine/run-times.ts'
import { Scheduler } from '../../src/engine/scheduler.ts'
import { WaitingHint } from '../../src/engine/waiting-hint.ts'
import type { Watch } from '../../src/engine/watch.ts'
import { whyNot } from '../../src/engine/when.ts'
import type { Lane, Pool } from '../../src/pools/pool.ts'
import type { JobRecord } from '../../src/rules/job-record.ts'
import type { ResponseFacts } from '../../src/words/job.ts'
import { HandClock } from '../kit/hand-clock.ts'
import { entryOf, recordOf } from '../kit/records.ts'

describe('when', () => {
  const facts = (given: Partial<ResponseFacts>): ResponseFacts => ({
    statusCode: 200,
    outcome: 'sent',
    error: undefined,
    method: 'POST',
    url: '/signup',
    ...given,
  })

  test.each([
    ['ok', { statusCode: 200 }, null],
    ['ok', { statusCode: 404 }, null],
    ['ok', { outcome: 'aborted' }, null],
    ['ok', { statusCode: 500 }, 'the response failed with status 500'],
    ['ok', { error: new TypeError('broken') }, 'the request failed: TypeError: broken'],
    ['error', { statusCode: 503 }, null],
    ['error', { error: 'a string', statusCode: 200 }, null],
    ['error', { statusCode: 204 }, 'the response did not fail (status 204)'],
    ['always', { statusCode: 500, error: new Error('x') }, null],
  ] as const)('%s for %o decides: %s', (when, given, reason) => {
    expect(whyNot(when, facts(given))).toBe(reason)
  })

  test('as a predicate is asked with the facts', () => {
    const asked: ResponseFacts[] = []
    const seen = facts({ statusCode: 201 })
    expect(whyNot((given) => asked.push(given) > 0, seen)).toBeNull()
    expect(asked).toEqual([seen])
    expect(whyNot(() => false, seen)).toBe('its predicate refused the response (status 201, sent)')
  })

  test('as a predicate that throws refuses, and says so', () => {
    const predicate = (): boolean => {
      throw new Error('oops')
    }
    expect(whyNot(predicate, facts({}))).toBe('its predicate threw Error: oops')
  })
})

describe('ids', () => {
  test('are read back to their number by the runtime that made them, and by no other', () => {
    const [mine, other] = [new JobIds(1_700_000_000_000, () => 0.3), new JobIds(1_700_000_000_000, () => 0.7)]
    for (const seq of [1, 35, 36, 1e6, 2 ** 40]) expect(mine.seqOf(mine.of(seq))).toBe(seq)
    expect(mine.seqOf(other.of(7))).toBeUndefined()
    for (const id of ['', 'x', mine.prefix, `${mine.prefix}!`, `${mine.of(3)} `, `${mine.prefix}03`]) {
      expect(mine.seqOf(id)).toBeUndefined()
    }
  })

  test('of a later runtime sort behind those of an earlier one', () => {
    const at = (wall: number): string => new JobIds(wall, () => 0.5).of(1)
    expect(at(1_700_000_000_000) < at(1_700_000_000_001)).toBe(true)
  })
})

describe('the rate', () => {
  test('is what ended in a second, over the last seconds, and falls to none', () => {
    const rate = new Rate(0)
    for (let now = 0; now < 4000; now += 10) rate.add(now)
    expect(rate.perSecond(4000)).toBeCloseTo(100, -1)
    expect(rate.perSecond(20_000)).toBe(0)
  })

  test('says when a tenth of a full queue is worked off, from 1 second to 5 minutes', () => {
    const rate = new Rate(0)
    expect(rate.retryAfter(1000, 0)).toBe(30)
    for (let now = 0; now < 4000; now += 10) rate.add(now)
    expect(rate.retryAfter(10_000, 4000)).toBe(10)
    expect(rate.retryAfter(10, 4000)).toBe(1)
    expect(rate.retryAfter(1e9, 4000)).toBe(300)
  })
})

describe('expected run times', () => {
  test('of a task that never ran are long, and follow the first run', () => {
    const times = new RunTimes(1)
    expect(times.expected(0)).toBe(Number.POSITIVE_INFINITY)
    times.learn(0, 2)
    expect(times.expected(0)).toBe(2)
  })

  test('rise quickly and fall slowly', () => {
    const times = new RunTimes(1)
    times.learn(0, 10)
    times.learn(0, 110)
    const risen = times.expected(0) - 10
    times.learn(0, 10)
    const fallen = 10 + risen - times.expected(0)
    expect(risen).toBeGreaterThan(fallen * 4)
  })
})

describe('the pace', () => {
  function paced(active: (clock: HandClock) => number) {
    const clock = new HandClock()
    return { clock, pace: new Pace(Object.assign(clock, { loopActive: () => active(clock) })) }
  }

  test('lets everything go on a loop that has nothing else to do', () => {
    const { clock, pace } = paced(() => 0)
    for (let turn = 0; turn < 100; turn++) {
      pace.spent(5)
      clock.advance(5)
      expect(pace.wait()).toBe(0)
    }
  })

  test('makes the engine wait on a busy loop once it has spent its savings', () => {
    const { clock, pace } = paced((now) => now.now())
    let waited = 0
    for (let turn = 0; turn < 20; turn++) {
      pace.spent(3)
      clock.advance(6)
      waited += pace.wait()
    }
    expect(waited).toBeGreaterThan(0)
  })
})

describe('the scheduler', () => {
  // A broker that has sixteen jobs every quarter of a millisecond, and a thread that takes all of them.
  function bundlesIn(milliseconds: number, refills: boolean | undefined): number {
    const clock = Object.assign(new HandClock(), { loopActive: () => 0 })
    let jobs: JobRecord[] = []
    let bundles = 0
    const sent = (): void => {}
    const ready = { refills, sent, peek: () => jobs[0], claim: () => jobs.shift() } as unknown as ReadyJobs
    const lane = { id: 1, concurrency: 1, room: () => 64, send: () => void bundles++ } as unknown as Lane
    const pool = { name: 'default', lanes: [lane], grow: () => {} } as unknown as Pool
    const limits = { max: 64, milliseconds: Number.POSITIVE_INFINITY }
    const pools = new Map([['default', pool]])
    const watch = { sent: () => {} } as unknown as Watch
    const holds = new CrashHolds({ ready, clock, pools, wake: () => {} })
    const runTimes = new RunTimes(1)
    const hint = new WaitingHint({ ready, clock, runTimes, say: () => {} })
    const scheduler = new Scheduler({
      ready,
      pools,
      clock,
      hasLimits: false,
      limits,
      runTimes,
      watch,
      holds,
      hint,
      tracing: null,
    })
    for (let at = 0; at < milliseconds; at += 0.25) {
      jobs = Array.from({ length: 16 }, (_, seq) => recordOf(seq))
      scheduler.wake('default')
      clock.advance(0.25)
    }
    return bundles
  }

  test('lets the bundles of a stream wait for more jobs', () => {
    expect(bundlesIn(10, undefined)).toBe(11)
  })

  test('lets no bundle wait where the next jobs come as those in it end', () => {
    expect(bundlesIn(10, true)).toBe(40)
  })
})

describe('the hint at threads that only wait', () => {
  // One thread whose loop is idle, with a job in it and another that waits, each time that it is looked at.
  function hintsAfter(ran: number | undefined, { loopActive = 0, isSameJob = false } = {}): number {
    let hints = 0
    let now = 0
    let idle = 0
    const clock = Object.assign(new HandClock(), { loopActive: () => now * loopActive })
    const entry = { index: 0, task: entryOf().task }
    const runTimes = new RunTimes(1)
    if (ran !== undefined) runTimes.learn(0, ran)
    let running = recordOf(1, { entry })
    const inFlight = { size: 1, keys: () => [running] }
    const lane = { inFlight, loopTimes: () => ({ idle, active: 0 }) } as unknown as Lane
    const pool = { name: 'default', lanes: [lane] } as unknown as Pool
    const ready = { peek: () => recordOf(2, { entry }) } as unknown as ReadyJobs
    const hint = new WaitingHint({ ready, clock, runTimes, say: () => void hints++ })
    for (let second = 0; second < 5; second++) {
      hint.jobsWait(pool)
      now += 1000
      idle += 1000
      if (!isSameJob) running = recordOf(2, { entry })
      clock.advance(1000)
    }
    return hints
  }

  test.each([
    ['comes once for jobs that wait 10 ms each', 10, {}, 1],
    [
      'comes once for a job that is still there, however short its task was before',
      0.01,
      { isSameJob: true },
      1,
    ],
    ['comes once for a task that has never ended', undefined, {}, 1],
    ['does not come for empty jobs', 0.005, {}, 0],
    ['does not come while the event loop is what jobs wait for', 10, { loopActive: 0.9 }, 0],
  ] as const)('%s', (_, ran, how, hints) => {
    expect(hintsAfter(ran, how)).toBe(hints)
  })
})

describe('the announcer', () => {
  function announcer(): { announcer: Announcer; lines: string[] } {
    const lines: string[] = []
    return {
      announcer: new Announcer(
        ({ seq }) => `j${seq}`,
        new Log(({ message }) => void lines.push(message)),
        new Redaction(false),
      ),
      lines,
    }
  }

  function dead(): ReturnType<typeof recordOf> {
    const job = recordOf(1)
    job.attempts = 2
    job.state = 'dead'
    job.more.errors = [new TypeError('broken\nin two')]
    return job
  }

  test('writes one line for a dead job that nobody listens for', () => {
    const { announcer: voice, lines } = announcer()
    voice.settled(dead(), 0)
    expect(lines).toEqual(['job j1 (task) is dead after 2 attempts: TypeError: broken in two'])
  })

  test('writes a dead job that somebody listens for to the place that the user gave all the same', () => {
    const { announcer: voice, lines } = announcer()
    const told: unknown[] = []
    voice.events.on('job:dead', (event) => told.push(event.error))
    voice.settled(dead(), 0)
    expect(told).toMatchObject([{ message: 'broken\nin two' }])
    expect(lines).toHaveLength(1)
  })

  test('writes one line for a listener that throws', () => {
    const { announcer: voice, lines } = announcer()
    voice.events.on('job:dead', () => {
      throw new Error('listener')
    })
    voice.settled(dead(), 0)
    expect(lines).toEqual(expect.arrayContaining(['a listener for "job:dead" threw: Error: listener']))
  })

  test('settles the promise of a job although a listener throws', async () => {
    const { announcer: voice } = announcer()
    voice.events.on('job:dead', () => {
      throw new Error('listener')
    })
    const job = dead()
    job.more.settle = Promise.withResolvers()
    voice.settled(job, 0)
    expect(await job.more.settle.promise).toMatchObject({ state: 'dead', attempts: 2 })
  })
})
