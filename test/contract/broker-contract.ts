/** The rules that every broker keeps, as tests: the same for each, through the port alone. */
import { describe, expect, test } from 'vitest'
import type { Broker } from '../../src/brokers/port/broker.ts'
import { Bench } from './bench.ts'

/** A kind of broker under test. */
export interface BrokerKind {
  readonly name: string
  /** A broker over `place`: where it keeps its jobs, for one that keeps them. */
  make(place: string): Broker
  /** Whether what was in it is there again when another is made over the same place. */
  readonly survives: boolean
}

/** Runs the contract. */
export function brokerContract(kind: BrokerKind): void {
  describe(`the ${kind.name} broker: order`, () => {
    contract(kind, 'runs jobs of one priority in the order added', async (bench) => {
      const jobs = bench.addAll(5)
      expect(await bench.runAll(5)).toEqual(jobs)
    })

    contract(kind, 'runs the larger priority first', async (bench) => {
      const low = bench.add({ priority: -1 })
      const high = bench.add({ priority: 5 })
      const plain = bench.add()
      await bench.available(3)
      expect(await bench.runAll(3)).toEqual([high, plain, low])
    })

    contract(kind, 'gives a job back at its old place', async (bench) => {
      const [first] = bench.addAll(2)
      await bench.available(2)
      const claimed = await bench.claim()
      claimed.attempts--
      bench.broker.attempts.putBack(claimed, null)
      expect(await bench.claim()).toBe(first)
    })

    contract(kind, 'keeps the jobs of each pool apart', async (bench) => {
      const io = bench.add({ task: 'io' })
      const plain = bench.add()
      expect(await bench.claim()).toBe(plain)
      expect(await bench.claim('io')).toBe(io)
    })
  })

  describe(`the ${kind.name} broker: a batch`, () => {
    contract(kind, 'holds its jobs until the response is over', async (bench) => {
      const batch = bench.batch()
      const held = bench.add({ batch })
      const other = bench.add()
      expect(await bench.claim()).toBe(other)
      expect(held.state).toBe('held')
      bench.settleResponse(batch, held)
      expect(await bench.claim()).toBe(held)
    })

    contract(kind, 'runs its jobs one after the other', async (bench) => {
      const batch = bench.batch()
      const first = bench.add({ batch })
      const second = bench.add({ batch, after: first })
      bench.settleResponse(batch, first, second)
      expect(await bench.claim()).toBe(first)
      expect(await bench.nothingElse()).toBe(true)
      bench.complete(first)
      expect(await bench.claim()).toBe(second)
    })

    contract(kind, 'keeps its order when one in the middle is cancelled', async (bench) => {
      const batch = bench.batch()
      const first = bench.add({ batch })
      const second = bench.add({ batch, after: first })
      const third = bench.add({ batch, after: second })
      bench.settleResponse(batch, first, second, third)
      expect(await bench.claim()).toBe(first)
      bench.broker.attempts.finish(second, { state: 'cancelled' })
      await bench.over(second)
      expect(await bench.nothingElse()).toBe(true)
      bench.complete(first)
      expect(await bench.claim()).toBe(third)
    })

    contract(kind, 'goes on after a job that is dead', async (bench) => {
      const batch = bench.batch()
      const first = bench.add({ batch })
      const second = bench.add({ batch, after: first })
      bench.settleResponse(batch, first, second)
      bench.fail(await bench.claim())
      expect(await bench.claim()).toBe(second)
    })

    contract(kind, 'skips the rest after a dead job when it is to stop', async (bench) => {
      const batch = bench.batch('stop')
      const first = bench.add({ batch })
      const second = bench.add({ batch, after: first })
      const third = bench.add({ batch, after: second })
      bench.settleResponse(batch, first, second, third)
      bench.fail(await bench.claim())
      await bench.over(third)
      expect([first.state, second.state, third.state]).toEqual(['dead', 'skipped', 'skipped'])
      expect(third.extras?.reason).toBe('an earlier job of its batch failed')
    })
  })

  describe(`the ${kind.name} broker: a key`, () => {
    contract(kind, 'lets one job run at a time, in the order added', async (bench) => {
      const first = bench.add({ key: 'a' })
      const second = bench.add({ key: 'a' })
      const other = bench.add({ key: 'b' })
      const claimed = [await bench.claim(), await bench.claim()]
      expect(new Set(claimed)).toEqual(new Set([first, other]))
      expect(await bench.nothingElse()).toBe(true)
      bench.complete(first)
      expect(await bench.claim()).toBe(second)
    })

    contract(kind, 'is kept by a job that is to be tried again', async (bench) => {
      const first = bench.add({ key: 'a' })
      const second = bench.add({ key: 'a' })
      bench.retry(await bench.claim(), 5)
      expect(await bench.claim()).toBe(first)
      bench.complete(first)
      expect(await bench.claim()).toBe(second)
    })

    contract(kind, 'passes over a job that was cancelled in line', async (bench) => {
      const first = bench.add({ key: 'a' })
      const second = bench.add({ key: 'a' })
      const third = bench.add({ key: 'a' })
      await bench.claim()
      bench.broker.attempts.finish(second, { state: 'cancelled' })
      await bench.over(second)
      bench.complete(first)
      expect(await bench.claim()).toBe(third)
    })
  })

  describe(`the ${kind.name} broker: time`, () => {
    contract(kind, 'keeps a job until it is due', async (bench) => {
      const before = bench.clock.now()
      const late = bench.add({ delay: 30 })
      expect(late.state).toBe('scheduled')
      expect(await bench.claim()).toBe(late)
      expect(bench.clock.now() - before).toBeGreaterThanOrEqual(28)
    })

    contract(kind, 'tries a job again when it is due', async (bench) => {
      const job = bench.add()
      const claimed = await bench.claim()
      bench.retry(claimed, 10)
      expect(job.state).toBe('retryable')
      expect(await bench.claim()).toBe(job)
    })
  })

  describe(`the ${kind.name} broker: limits`, () => {
    contract(kind, 'runs no more jobs of a task at once than its concurrency', async (bench) => {
      const one = bench.add({ task: 'single' })
      const two = bench.add({ task: 'single' })
      const other = bench.add()
      await bench.available(3)
      expect(new Set([await bench.claim(), await bench.claim()])).toEqual(new Set([one, other]))
      expect(await bench.nothingElse()).toBe(true)
      bench.complete(one)
      expect(await bench.claim()).toBe(two)
    })

    contract(kind, 'knows which job holds a unique key while it is pending', async (bench) => {
      const job = bench.add({ unique: 'u' })
      expect(bench.broker.intake.holderOf('u')).toBe(job)
      bench.complete(await bench.claim())
      await bench.over(job)
      expect(bench.broker.intake.holderOf('u')).toBeUndefined()
    })
  })

  describe(`the ${kind.name} broker: an end`, () => {
    contract(kind, 'is told exactly once, with its result', async (bench) => {
      const job = bench.add()
      bench.complete(await bench.claim(), '{"a":1}')
      await bench.over(job)
      bench.broker.attempts.finish(job, { state: 'cancelled' })
      await bench.barrier()
      expect(bench.told.filter((told) => told === job)).toHaveLength(1)
      expect([job.state, job.result]).toEqual(['completed', '{"a":1}'])
    })

    contract(kind, 'comes to a job that is cancelled before it starts', async (bench) => {
      const job = bench.add()
      const other = bench.add()
      bench.broker.attempts.finish(job, { state: 'cancelled' })
      await bench.over(job)
      expect(await bench.claim()).toBe(other)
    })

    contract(kind, 'lets the job be removed, where the broker can, and no earlier', async (bench) => {
      const job = bench.add()
      const { broker } = bench
      await bench.available(1)
      expect(await broker.jobs.remove(job)).toBe(false)
      bench.complete(await bench.claim())
      await bench.over(job)
      expect(await broker.jobs.remove(job)).toBe(true)
      expect(await broker.jobs.list({})).toEqual([])
      expect(await broker.jobs.counts()).toMatchObject({ completed: 0 })
    })

    contract(kind, 'is no end for a dead job that is revived', async (bench) => {
      const job = bench.add()
      bench.fail(await bench.claim())
      await bench.over(job)
      bench.broker.jobs.revive(job)
      const again = await bench.claim()
      expect(again.seq).toBe(job.seq)
      expect(again.failures).toBe(0)
    })
  })

  describe(`the ${kind.name} broker: what can be asked`, () => {
    contract(kind, 'counts jobs by state and lists them newest first', async (bench) => {
      bench.addAll(2)
      const batch = bench.batch()
      const held = bench.add({ batch })
      const late = bench.add({ delay: 60_000 })
      await bench.available(2)
      const counts = await bench.broker.jobs.counts()
      expect(counts).toMatchObject({ available: 2, held: 1, scheduled: 1, completed: 0 })
      const listed = await bench.broker.jobs.list({ state: ['held', 'scheduled'] })
      expect(listed.map((job) => job.seq)).toEqual([late.seq, held.seq])
      expect(await bench.broker.jobs.list({ task: 'io' })).toEqual([])
    })
  })

  if (kind.survives) survival(kind)
}

/** What a durable broker keeps when its process ends. */
function survival(kind: BrokerKind): void {
  describe(`the ${kind.name} broker: opened again`, () => {
    contract(kind, 'has the jobs that were stored, in their order', async (bench) => {
      const ids = bench.addAll(3).map((job) => bench.idOf(job))
      await bench.stored()
      const next = await bench.reopen()
      const again = await next.runAll(3)
      expect(again.map((job) => next.idOf(job))).toEqual(ids)
    })

    contract(kind, 'goes on with what was held, waiting for its batch, or in line', async (bench) => {
      const batch = bench.batch()
      const first = bench.add({ batch })
      const second = bench.add({ batch, after: first })
      const holder = bench.add({ key: 'k' })
      const inLine = bench.add({ key: 'k' })
      const ids = [first, second, holder, inLine].map((job) => bench.idOf(job))
      await bench.stored()
      const next = await bench.reopen()
      const order = (await next.runAll(4)).map((job) => next.idOf(job))
      expect(new Set(order)).toEqual(new Set(ids))
      expect(order.indexOf(ids[0] ?? '')).toBeLessThan(order.indexOf(ids[1] ?? ''))
      expect(order.indexOf(ids[2] ?? '')).toBeLessThan(order.indexOf(ids[3] ?? ''))
    })

    contract(kind, 'finds jobs that were over, with result, error and attempts', async (bench) => {
      const done = bench.add()
      const dead = bench.add()
      await bench.available(2)
      bench.complete(await bench.claim(), '"fine"')
      bench.fail(await bench.claim())
      await Promise.all([bench.over(done), bench.over(dead)])
      const ids = [bench.idOf(done), bench.idOf(dead)]
      const next = await bench.reopen()
      const [first, second] = await Promise.all(ids.map((id) => next.broker.jobs.find(id)))
      expect([first?.state, first?.result, first?.attempts]).toEqual(['completed', '"fine"', 1])
      expect([second?.state, second?.extras?.errors?.[0]?.message]).toEqual(['dead', 'no'])
    })
  })
}

function contract(kind: BrokerKind, name: string, check: (bench: Bench) => Promise<void>): void {
  test(name, async () => {
    const bench = new Bench(kind)
    try {
      await bench.open()
      await check(bench)
    } finally {
      await bench.close()
    }
  })
}
