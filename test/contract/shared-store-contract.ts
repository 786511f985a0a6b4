/**
 * What every shared store keeps: what Redis, Valkey and PostgreSQL make of it with BullMQ, and the model of the cluster's
 * simulation with plain maps. A test that the model passes and a store does not, or the other way round, means that the
 * simulation looks at something else than what runs.
 */
// long because: one contract, with a test for each rule
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { isRefusal } from '../../src/brokers/bullmq/store/refusals.ts'
import {
  type Claimed,
  type JobSource,
  type LeaseRef,
  locksOf,
  type SharedStore,
  type StoredEnding,
} from '../../src/brokers/bullmq/store/shared-store.ts'
import type { NewJob, WrittenData } from '../../src/brokers/bullmq/store/stored-job.ts'

/** A store that is put to the test. */
export interface SharedStoreBench {
  /** Another process's way to it. */
  open(options: StoreOptions): Promise<SharedStore>
  /** Lets so many milliseconds pass, or a little more. */
  elapse(milliseconds: number): Promise<void>
  /** Its time, in milliseconds. */
  now(): number
  close(): Promise<void>
}

/** How a process uses it. */
export interface StoreOptions {
  /** What is under one name is not under another. */
  readonly place: string
  readonly lease: number
  readonly queues: readonly string[]
  readonly topics: readonly string[]
  onMessage(topic: string, text: string): void
}

const LONG = 60_000
const SHORT = 200
const KEPT = 'aftertask:{"n":1,"f":1,"c":0,"s":0,"e":[]}'
const leftBehind = (mark = KEPT) => ({ reason: 'why', stacktrace: JSON.stringify(['', mark]) })

/** Holds a store to the contract. */
export function sharedStoreContract(name: string, make: () => Promise<SharedStoreBench>): void {
  describe(`the shared store ${name}`, () => {
    let bench: SharedStoreBench
    let stores: SharedStore[] = []
    let queues = 0
    let queue = ''
    let other = ''
    let made = 0
    // No later than the clock of the bench, which may stand still.
    const accepted = Date.now()

    beforeAll(async () => {
      bench = await make()
    })
    beforeEach(() => {
      queue = `q${++queues}`
      other = `q${++queues}`
      made = 0
    })
    afterEach(async () => {
      await Promise.all(stores.map((store) => store.close()))
      stores = []
    })
    afterAll(() => bench.close())

    const open = async (options: Partial<StoreOptions> = {}): Promise<SharedStore> => {
      const given = {
        place: queue,
        lease: LONG,
        queues: [queue, other],
        topics: ['none'],
        onMessage() {},
        ...options,
      }
      const store = await bench.open(given)
      stores.push(store)
      return store
    }

    const job = (id: string, more: Partial<NewJob> & { data?: WrittenData } = {}): NewJob => ({
      ...{ queue, id: `${queue}-${id}`, name: 'mail', payload: '{"to":"ada"}', data: {}, priority: 0 },
      ...{ acceptedAt: accepted + made++, delay: 0, unique: undefined, ...more },
    })

    const refOf = ({ token, job: { id, starts, stalls } }: Claimed): LeaseRef => ({
      id,
      token,
      starts,
      stalls,
    })

    const idsOf = (jobs: readonly { readonly job: { readonly id: string } }[]): string[] =>
      jobs.map(({ job: { id } }) => id.slice(id.lastIndexOf('-') + 1))

    /** Claims one job under a token. */
    const claim = async (source: JobSource, token: string): Promise<Claimed> => {
      const [claimed] = (await source.claim([token])).jobs
      if (claimed === undefined) throw new Error(`There is no job for ${token}.`)
      return claimed
    }

    const completed = (claimed: Claimed, more: Partial<StoredEnding> = {}): StoredEnding => ({
      ...{ state: 'completed', locks: locksOf(claimed.job.data), stops: false, fetchNext: false },
      ...more,
    })

    const end = (source: JobSource, claimed: Claimed, more: Partial<StoredEnding> = {}) =>
      source.end(refOf(claimed), completed(claimed, more))

    /** A process that looks for leases that have run out. */
    const reclaim = async (source: JobSource): Promise<void> => {
      for (let look = 0; look < 4; look++) {
        await source.reclaimExpired()
        await bench.elapse(SHORT / 4)
      }
    }

    /**
     * A test of what holds before `short` has passed. Where a machine that stood still let it pass too early, the test is
     * made again in another queue, with more time.
     */
    const inTime = (check: (short: number, pass: () => Promise<void>) => Promise<void>) => {
      const tryWith = async (short: number): Promise<void> => {
        const began = bench.now()
        let spent: number | undefined
        const pass = (): Promise<void> => {
          spent = bench.now() - began
          return bench.elapse(short + 50)
        }
        try {
          await check(short, pass)
        } catch (error) {
          if ((spent ?? bench.now() - began) < short) throw error
          queue = `q${++queues}`
          await tryWith(4 * short)
        }
      }
      return () => tryWith(SHORT)
    }

    const refused = async (write: Promise<unknown>): Promise<void> => {
      const fault: unknown = await write.then(
        () => 'nothing',
        (error: unknown) => error,
      )
      expect(isRefusal(fault) || fault).toBe(true)
    }

    describe('a job', () => {
      test('is claimed once, the most urgent first, then in the order added', async () => {
        const store = await open()
        await store.insert([job('a'), job('b', { priority: 5 }), job('c')])
        const { jobs } = await store.source(queue, 'me').claim(['1', '2', '3', '4'])
        expect(new Set(idsOf(jobs))).toEqual(new Set(['a', 'b', 'c']))
        expect(idsOf(jobs.toSorted((one, two) => Number(one.token) - Number(two.token)))).toEqual([
          'b',
          'a',
          'c',
        ])
      })

      test('arrives as it was written', async () => {
        const store = await open()
        const data = { timeout: 50, maxAttempts: -1, stops: true }
        await store.insert([job('a', { data: { ...data, priority: 3 }, priority: 3, payload: '[1,"x"]' })])
        const claimed = await claim(store.source(queue, 'me'), '1')
        const { data: read, ...rest } = claimed.job
        expect(rest).toMatchObject({
          queue,
          name: 'mail',
          payload: '[1,"x"]',
          state: 'running',
          starts: 1,
          stalls: 0,
        })
        expect(read).toMatchObject({ ...data, priority: 3 })
      })

      test('that is added again under its id is there once, also when it is over', async () => {
        const store = await open()
        const source = store.source(queue, 'me')
        expect(await store.insert([job('a')])).toEqual([`${queue}-a`])
        expect(await store.insert([job('a')])).toEqual([`${queue}-a`])
        const claimed = await claim(source, '1')
        await end(source, claimed)
        await store.insert([job('a')])
        await store.insert([job('b')])
        await store.directory.finish(`${queue}-b`, { state: 'cancelled' })
        await store.insert([job('b')])
        expect((await source.claim(['2', '3'])).jobs).toEqual([])
      })

      test(
        'that is delayed is claimed when it is due',
        inTime(async (short, pass) => {
          const store = await open()
          const source = store.source(queue, 'me')
          await store.insert([job('a', { delay: short })])
          expect((await source.claim(['1'])).jobs).toEqual([])
          await pass()
          expect(idsOf((await source.claim(['1'])).jobs)).toEqual(['a'])
        }),
      )

      test('is told of to a process that waits for one', async () => {
        const store = await open()
        const source = store.source(queue, 'me')
        const waits = source.waitForWork(LONG)
        await store.insert([job('a')])
        await waits
        expect(idsOf((await source.claim(['1'])).jobs)).toEqual(['a'])
      })

      test('is not waited for any more when the wait is stopped', async () => {
        const source = (await open()).source(queue, 'me')
        const waits = source.waitForWork(LONG).then(
          () => 'over',
          () => 'over',
        )
        source.stopWaiting()
        await bench.elapse(1)
        // Over some stores only the end of the connection ends the wait.
        await Promise.all(stores.map((store) => store.close()))
        stores = []
        expect(await waits).toBe('over')
      })

      test('whose unique key is held is not added, and the holder is named', async () => {
        const store = await open()
        const source = store.source(queue, 'me')
        const unique = { key: 'k', forMs: undefined }
        expect(await store.insert([job('a', { unique }), job('b', { unique })])).toEqual([
          `${queue}-a`,
          `${queue}-a`,
        ])
        const claimed = await claim(source, '1')
        expect(await store.insert([job('c', { unique })])).toEqual([`${queue}-a`])
        await end(source, claimed)
        expect(await store.insert([job('d', { unique })])).toEqual([`${queue}-d`])
      })

      test('holds its unique key for its time, also when it is over', async () => {
        const store = await open()
        const source = store.source(queue, 'me')
        const unique = { key: 'k', forMs: LONG }
        await store.insert([job('a', { unique })])
        await end(source, await claim(source, '1'))
        expect(await store.insert([job('b', { unique })])).toEqual([`${queue}-a`])
      })
    })

    describe('a claimed job', () => {
      test('completes with its result, and the next comes with the answer, under the same token', async () => {
        const store = await open()
        const source = store.source(queue, 'me')
        await store.insert([job('a'), job('b')])
        const next = await end(source, await claim(source, '1'), { result: '{"ok":true}', fetchNext: true })
        expect([next?.token, next && idsOf([next])]).toEqual(['1', ['b']])
        expect(await store.directory.find(`${queue}-a`)).toMatchObject({
          state: 'completed',
          result: '{"ok":true}',
        })
        expect(await source.seen(`${queue}-a`)).toMatchObject({ starts: 1, endedAt: expect.any(Number) })
      })

      test.each(['dead', 'cancelled', 'skipped'] as const)(
        'ends as %s, with what its attempts left',
        async (state) => {
          const store = await open()
          const source = store.source(queue, 'me')
          await store.insert([job('a')])
          const mark = `aftertask:{"n":1,"f":1,"c":0,"s":0,"e":[],"end":["${state}"]}`
          await end(source, await claim(source, '1'), { state, left: leftBehind(mark) })
          expect(await store.directory.find(`${queue}-a`)).toMatchObject({
            state,
            mark,
            payload: '{"to":"ada"}',
          })
          expect(await store.directory.counts()).toMatchObject({ [state]: 1, running: 0, available: 0 })
        },
      )

      test(
        'is given back for a time, and comes again with what its attempts left',
        inTime(async (short, pass) => {
          const store = await open()
          const source = store.source(queue, 'me')
          await store.insert([job('a')])
          await source.postpone(refOf(await claim(source, '1')), short, leftBehind())
          expect((await source.claim(['2'])).jobs).toEqual([])
          expect(await store.directory.find(`${queue}-a`)).toMatchObject({ state: 'retryable' })
          await pass()
          expect(await claim(source, '2')).toMatchObject({ job: { mark: KEPT, starts: 2, stalls: 0 } })
        }),
      )

      test('goes back before all that are as urgent', async () => {
        const store = await open()
        const source = store.source(queue, 'me')
        await store.insert([job('a'), job('b')])
        await source.putBack(refOf(await claim(source, '1')))
        expect(idsOf([await claim(source, '2')])).toEqual(['a'])
      })

      test('has what is noted of it', async () => {
        const store = await open()
        const source = store.source(queue, 'me')
        await store.insert([job('a')])
        await source.note(refOf(await claim(source, '1')), leftBehind().stacktrace)
        expect(await source.seen(`${queue}-a`)).toMatchObject({ mark: KEPT, endedAt: undefined })
      })

      test('is found under its token', async () => {
        const store = await open()
        const source = store.source(queue, 'me')
        await store.insert([job('a'), job('b')])
        await source.claim(['1', '2'])
        const found = await source.claimedUnder(['2', '3'])
        expect(found.map(({ token, job: { starts } }) => [token, starts])).toEqual([['2', 1]])
      })
    })

    describe('a job that is set aside', () => {
      test('is claimed by nobody but who asks for its task, best first, and counts as available', async () => {
        const store = await open()
        const source = store.source(queue, 'me')
        const sms = { name: 'sms' }
        await store.insert([job('a', sms), job('b', sms), job('c', { ...sms, priority: 5 }), job('d')])
        await source.setAside(refOf(await claim(source, '1')), 'sms')
        expect(idsOf((await source.claim(['2', '3'])).jobs)).toEqual(['d'])
        expect(await store.directory.counts()).toMatchObject({ available: 3, running: 1 })
        expect(await store.directory.list({ state: 'available', task: 'sms' })).toHaveLength(3)
        expect(await source.claimAside(['4'], ['mail', 'fax'])).toEqual([])
        const [first, ...others] = await source.claimAside(['5'], ['mail', 'sms'])
        expect([first?.token, first?.job.state, others]).toEqual(['5', 'running', []])
        expect(first?.job.id).toBe(`${queue}-c`)
        expect(new Set(idsOf(await source.claimAside(['6', '7', '8'], ['sms'])))).toEqual(new Set(['a', 'b']))
        await end(source, first as Claimed)
        expect(await store.directory.counts()).toMatchObject({ available: 0, running: 3, completed: 1 })
      })

      test('takes along the others of its task that wait, and none that is due later', async () => {
        const store = await open()
        const source = store.source(queue, 'me')
        await store.insert([job('a'), job('b'), job('c', { name: 'sms' }), job('d', { delay: LONG })])
        await source.setAside(refOf(await claim(source, '1')), 'mail')
        expect(idsOf((await source.claim(['2', '3'])).jobs)).toEqual(['c'])
        expect(new Set(idsOf(await source.claimAside(['4', '5', '6'], ['mail'])))).toEqual(
          new Set(['a', 'b']),
        )
      })

      test('can be ended, and is not claimed then', async () => {
        const store = await open()
        const source = store.source(queue, 'me')
        await store.insert([job('a', { data: { key: queue } }), job('b', { data: { key: queue } })])
        await source.setAside(refOf(await claim(source, '1')), 'mail')
        expect(await store.directory.finish(`${queue}-a`, { state: 'cancelled' })).toMatchObject({
          isDone: true,
        })
        expect(await source.claimAside(['2'], ['mail'])).toEqual([])
        expect(idsOf((await source.claim(['3'])).jobs)).toEqual(['b'])
      })

      test('is refused to whoever does not have it', async () => {
        const store = await open()
        const source = store.source(queue, 'me')
        await store.insert([job('a')])
        const lease = refOf(await claim(source, '1'))
        await refused(source.setAside({ ...lease, token: '2' }, 'mail'))
        await source.setAside(lease, 'mail')
        await refused(source.setAside(lease, 'mail'))
        expect(await source.renew([lease], LONG)).toEqual([lease.id])
      })

      test('is found in a queue that its process has no task for', async () => {
        const store = await open()
        await store.insert([job('a')])
        const stranger = await open({ queues: ['none'] })
        expect((await stranger.directory.find(`${queue}-a`))?.name).toBe('mail')
        expect(await stranger.directory.counts()).toMatchObject({ available: 1 })
        expect(await stranger.directory.list({ task: 'mail' })).toHaveLength(1)
      })
    })

    describe('a lease', () => {
      test('lets no other token write', async () => {
        const store = await open()
        const source = store.source(queue, 'me')
        await store.insert([job('a', { data: { key: queue } })])
        const claimed = await claim(source, '1')
        const lease = { ...refOf(claimed), token: '2' }
        await refused(source.end(lease, completed(claimed)))
        await refused(source.end(lease, completed(claimed, { state: 'cancelled', left: leftBehind() })))
        await refused(source.postpone(lease, 0))
        // Some say nothing of it. In any case nothing comes of it.
        await source.putBack(lease).catch(() => {})
        await refused(source.note(lease, leftBehind().stacktrace))
        await refused(source.admit(lease, [`k:${queue}`]))
        expect(await source.renew([lease], LONG)).toEqual([lease.id])
        expect(await store.directory.counts()).toMatchObject({ running: 1, cancelled: 0, completed: 0 })
        expect(await source.renew([refOf(claimed)], LONG)).toEqual([])
      })

      test('that has run out is taken from a process that is gone, and is that of the next', async () => {
        const store = await open({ lease: SHORT })
        const source = store.source(queue, 'me')
        await store.insert([job('a')])
        const first = await claim(source, '1')
        await bench.elapse(SHORT + 10)
        await reclaim(source)
        const second = await claim(source, '2')
        expect(second.job).toMatchObject({ id: `${queue}-a`, starts: 2, stalls: 1 })
        await refused(end(source, first))
        await refused(source.postpone(refOf(first), 0))
        expect(await source.renew([refOf(first)], LONG)).toEqual([`${queue}-a`])
        expect(await source.claimedUnder(['1'])).toEqual([])
      })

      test('that was renewed has not run out', async () => {
        const store = await open({ lease: SHORT })
        const source = store.source(queue, 'me')
        await store.insert([job('a')])
        const claimed = await claim(source, '1')
        expect(await source.renew([refOf(claimed)], LONG)).toEqual([])
        await bench.elapse(SHORT + 10)
        await reclaim(source)
        expect((await source.claim(['2'])).jobs).toEqual([])
        await end(source, claimed)
      })

      test('that has run out is renewed as long as nobody has taken the job', async () => {
        const store = await open({ lease: SHORT })
        const source = store.source(queue, 'me')
        await store.insert([job('a')])
        const claimed = await claim(source, '1')
        await bench.elapse(SHORT + 10)
        expect(await source.renew([refOf(claimed)], LONG)).toEqual([])
        await reclaim(source)
        await end(source, claimed)
        expect(await store.directory.find(`${queue}-a`)).toMatchObject({ state: 'completed' })
      })
    })

    describe('a lock', () => {
      const keyed = (id: string, more: Partial<NewJob> = {}): NewJob =>
        job(id, { data: { key: queue }, ...more })

      test('lets the jobs of a key come one after the other, in the order added', async () => {
        const store = await open()
        const source = store.source(queue, 'me')
        await store.insert([keyed('a'), keyed('b')])
        await store.insert([keyed('c')])
        const [first, ...others] = (await source.claim(['1', '2', '3'])).jobs
        expect(others).toEqual([])
        if (first === undefined) throw new Error('There is none.')
        expect(await source.admit(refOf(first), [`k:${queue}`])).toBe('first')
        await end(source, first)
        const second = await claim(source, '2')
        expect(idsOf([second])).toEqual(['b'])
        // It may come with the answer, or be there for the next who asks.
        const third = (await end(source, second, { fetchNext: true })) ?? (await claim(source, '3'))
        expect(idsOf([third])).toEqual(['c'])
      })

      test('is kept by a job that waits for its next attempt, and when another one leaves', async () => {
        const store = await open()
        const source = store.source(queue, 'me')
        await store.insert([keyed('a'), keyed('b'), keyed('c')])
        await source.postpone(refOf(await claim(source, '1')), LONG, leftBehind())
        await store.directory.finish(`${queue}-b`, { state: 'cancelled' })
        expect((await source.claim(['2', '3'])).jobs).toEqual([])
        expect(await store.directory.find(`${queue}-a`)).toMatchObject({ state: 'retryable' })
      })

      test('is passed on when a job ends that no process has', async () => {
        const store = await open()
        const source = store.source(queue, 'me')
        await store.insert([keyed('a'), keyed('b')])
        expect(await store.directory.finish(`${queue}-a`, { state: 'cancelled' })).toMatchObject({
          isDone: true,
        })
        expect(idsOf([await claim(source, '1')])).toEqual(['b'])
      })

      test('is not kept by a duplicate that was not added', async () => {
        const store = await open()
        const source = store.source(queue, 'me')
        const unique = { key: 'u', forMs: undefined }
        await store.insert([job('a', { unique })])
        expect(await store.insert([keyed('b', { unique })])).toEqual([`${queue}-a`])
        await store.insert([keyed('c')])
        expect(new Set(idsOf((await source.claim(['1', '2'])).jobs))).toEqual(new Set(['a', 'c']))
      })

      test(
        'is joined by a delayed job once it is due, and sends it back when another is first',
        inTime(async (short, pass) => {
          const store = await open()
          const source = store.source(queue, 'me')
          await store.insert([keyed('a', { delay: short })])
          await store.insert([keyed('b')])
          const first = await claim(source, '1')
          expect(idsOf([first])).toEqual(['b'])
          await pass()
          const second = await claim(source, '2')
          expect(await source.admit(refOf(second), [`k:${queue}`])).toBe('behind')
          await refused(end(source, second))
          await end(source, first)
          expect(idsOf([await claim(source, '3')])).toEqual(['a'])
        }),
      )

      test('of a batch keeps the order over several queues', async () => {
        const store = await open()
        const [here, there] = [store.source(queue, 'me'), store.source(other, 'me')]
        const data = { line: `b:${queue}` }
        const id = `${queue}-b`
        await store.insert([job('a', { data }), job('b', { data, id, queue: other }), job('c', { data })])
        expect((await there.claim(['0'])).jobs).toEqual([])
        const first = await claim(here, '1')
        expect((await here.claim(['2'])).jobs).toEqual([])
        await end(here, first)
        const second = await claim(there, '2')
        expect((await here.claim(['3'])).jobs).toEqual([])
        await end(there, second)
        expect(idsOf([await claim(here, '4')])).toEqual(['c'])
      })

      test('of a batch is joined by a job that knew of none, before the one behind it', async () => {
        const store = await open()
        const source = store.source(queue, 'me')
        await store.insert([job('a')])
        const first = await claim(source, '1')
        const behind = { queue, id: `${queue}-a` }
        await store.insert([job('b', { data: { line: `b:${queue}` }, behind })])
        expect((await source.claim(['2'])).jobs).toEqual([])
        await end(source, first, { locks: [`b:${queue}`] })
        expect(idsOf([await claim(source, '2')])).toEqual(['b'])
      })

      test('of a batch is not held up by a job that is over', async () => {
        const store = await open()
        const source = store.source(queue, 'me')
        await store.insert([job('a')])
        await end(source, await claim(source, '1'))
        await store.insert([job('b', { data: { line: `b:${queue}` }, behind: { queue, id: `${queue}-a` } })])
        const second = await claim(source, '2')
        expect(await source.admit(refOf(second), [`b:${queue}`])).toBe('first')
      })

      test('of a batch that a dead job has stopped lets no other follow', async () => {
        const store = await open()
        const source = store.source(queue, 'me')
        const data = { line: `b:${queue}`, stops: true }
        await store.insert([job('a', { data }), job('b', { data })])
        await end(source, await claim(source, '1'), { state: 'dead', stops: true, left: leftBehind() })
        const second = await claim(source, '2')
        expect(await source.admit(refOf(second), [`b:${queue}`])).toBe('stopped')
        await end(source, second, { state: 'skipped', stops: true, left: leftBehind() })
      })

      test('is left by hand for a job that did not know of it', async () => {
        const store = await open()
        const source = store.source(queue, 'me')
        await store.insert([job('a')])
        const first = await claim(source, '1')
        await store.insert([job('b', { data: { line: `b:${queue}` }, behind: { queue, id: `${queue}-a` } })])
        await end(source, first, { locks: [] })
        await store.leave(`b:${queue}`, queue, `${queue}-a`, false)
        expect(idsOf([await claim(source, '2')])).toEqual(['b'])
      })
    })

    describe('a held job', () => {
      test('waits until it is released, with what is known then', async () => {
        const store = await open()
        const source = store.source(queue, 'me')
        const held = job('a', { data: { held: true }, delay: LONG })
        await store.insert([held])
        await store.hold(queue, held.id, LONG)
        expect(await store.directory.find(held.id)).toMatchObject({ state: 'held' })
        expect((await source.claim(['1'])).jobs).toEqual([])
        await store.release({ ...held, data: { timeout: 7 }, delay: 0 })
        const claimed = await claim(source, '1')
        expect(claimed.job.data).toMatchObject({ timeout: 7 })
        expect(claimed.job.data.held).toBeUndefined()
      })

      test('comes forward to its place in its locks', async () => {
        const store = await open()
        const source = store.source(queue, 'me')
        const held = job('a', { data: { held: true }, delay: LONG })
        await store.insert([held])
        await store.insert([job('b', { data: { key: queue } })])
        await store.release({ ...held, data: { key: queue }, delay: 0 })
        const first = await claim(source, '1')
        expect((await source.claim(['2'])).jobs).toEqual([])
        await end(source, first)
        expect(idsOf([await claim(source, '2')])).toEqual(['a'])
      })
    })

    describe('the directory', () => {
      test('ends what waits, and says of what runs that it does', async () => {
        const store = await open()
        const source = store.source(queue, 'me')
        await store.insert([job('a'), job('b', { delay: LONG })])
        await claim(source, '1')
        expect(await store.directory.finish(`${queue}-a`, { state: 'cancelled' })).toMatchObject({
          isRunning: true,
        })
        const finish = await store.directory.finish(`${queue}-b`, {
          state: 'cancelled',
          reason: 'for the test',
        })
        expect(finish).toMatchObject({ isRunning: false, isDone: true, job: { state: 'cancelled' } })
        const again = await store.directory.finish(`${queue}-b`, { state: 'skipped' })
        expect(again).toMatchObject({
          isDone: false,
          job: { state: 'cancelled', left: { end: ['cancelled', 'for the test'] } },
        })
        expect(await store.directory.finish('nobody', { state: 'cancelled' })).toMatchObject({
          isDone: false,
          job: undefined,
        })
      })

      test('says whether a job is over, or not there', async () => {
        const store = await open()
        const source = store.source(queue, 'me')
        await store.insert([job('a'), job('b', { delay: LONG })])
        await end(source, await claim(source, '1'))
        const ids = [`${queue}-a`, `${queue}-b`, 'nobody']
        expect(await Promise.all(ids.map((id) => store.directory.isOver(queue, id)))).toEqual([
          true,
          false,
          true,
        ])
      })

      test('lists and counts jobs by their states', async () => {
        const store = await open()
        const source = store.source(queue, 'me')
        await store.insert([
          job('a'),
          job('b'),
          job('c', { delay: LONG }),
          job('d', { queue: other, name: 'sms' }),
        ])
        await end(source, await claim(source, '1'))
        expect(await store.directory.counts()).toMatchObject({ completed: 1, available: 2, running: 0 })
        const available = await store.directory.list({ state: 'available' })
        expect(available.map((found) => `${found.name} ${found.id.slice(-1)}`)).toEqual(['sms d', 'mail b'])
        expect(
          (await store.directory.list({ task: 'mail', limit: 2 })).map(({ id }) => id.slice(-1)),
        ).toEqual(['c', 'b'])
      })

      test('lets a dead job start over, and no other', async () => {
        const store = await open()
        const source = store.source(queue, 'me')
        await store.insert([job('a', { data: { line: `b:${queue}` } }), job('b')])
        await end(source, await claim(source, '1'), { state: 'dead', left: leftBehind() })
        await store.directory.revive(`${queue}-a`, 'p-')
        await store.directory.revive(`${queue}-b`, 'p-')
        const { jobs } = await source.claim(['1', '2'])
        expect(new Set(idsOf(jobs))).toEqual(new Set(['a', 'b']))
        const revived = jobs.find(({ job: { id } }) => id === `${queue}-a`)
        expect(revived?.job).toMatchObject({ data: { by: 'p-', revived: 1 }, left: { n: 1 } })
        expect(revived?.job.data.line).toBeUndefined()
      })

      test('forgets what is over, and nothing else', async () => {
        const store = await open()
        const source = store.source(queue, 'me')
        await store.insert([job('a'), job('b')])
        await end(source, await claim(source, '1'))
        expect(await store.directory.remove(`${queue}-a`)).toBe(true)
        expect(await store.directory.remove(`${queue}-a`)).toBe(false)
        expect(await store.directory.remove(`${queue}-b`)).toBe(false)
        expect(await store.directory.find(`${queue}-a`)).toBeUndefined()
      })
    })

    describe('a schedule', () => {
      const schedule = { id: 's', definition: '{"every":1}', nextAt: 1000 }

      test('is kept until it is changed or removed', async () => {
        const { schedules } = await open()
        await schedules.put(schedule)
        await schedules.put({ ...schedule, nextAt: 5000 })
        expect(await schedules.all()).toEqual([schedule])
        const changed = { ...schedule, definition: '{"every":2}', nextAt: 7000 }
        await schedules.put(changed)
        expect(await schedules.all()).toEqual([changed])
        await schedules.remove('s')
        expect(await schedules.all()).toEqual([])
      })

      test('is taken by one process at a time, as it is given, and next due when its run is made', async () => {
        const { schedules } = await open()
        await schedules.put(schedule)
        expect(await schedules.take({ ...schedule, nextAt: 999 }, 'one', LONG)).toBe(false)
        expect(await schedules.take(schedule, 'one', LONG)).toBe(true)
        expect(await schedules.take(schedule, 'two', LONG)).toBe(false)
        expect(await schedules.take(schedule, 'one', LONG)).toBe(true)
        await schedules.made(schedule, 2000)
        expect(await schedules.take(schedule, 'two', LONG)).toBe(false)
        expect(await schedules.take({ ...schedule, nextAt: 2000 }, 'two', SHORT)).toBe(true)
        await bench.elapse(SHORT + 50)
        expect(await schedules.take({ ...schedule, nextAt: 2000 }, 'one', LONG)).toBe(true)
        await schedules.remove('s')
      })
    })

    test('a run of a schedule that its process lets go of is free for another at once, and another cannot let go of it', async () => {
      const { schedules } = await open()
      const schedule = { id: 'let-go', definition: '{"every":1}', nextAt: 1000 }
      await schedules.put(schedule)
      expect(await schedules.take(schedule, 'one', LONG)).toBe(true)
      await schedules.release('let-go', 'two')
      expect(await schedules.take(schedule, 'two', LONG)).toBe(false)
      await schedules.release('let-go', 'one')
      expect(await schedules.take(schedule, 'two', LONG)).toBe(true)
      // Whoever sets it anew, or takes it away, takes the run away too.
      await schedules.put({ ...schedule, definition: '{"every":2}' })
      expect(await schedules.take({ ...schedule, definition: '{"every":2}' }, 'one', LONG)).toBe(true)
      await schedules.remove('let-go')
      await schedules.put(schedule)
      expect(await schedules.take(schedule, 'two', LONG)).toBe(true)
      await schedules.remove('let-go')
    })

    test('a message comes to every process that listens to its topic', async () => {
      const heard: string[] = []
      await open({
        topics: ['news'],
        onMessage: (topic, text) => void heard.push(`${topic.slice(-4)} ${text}`),
      })
      const store = await open()
      // One may get lost.
      while (heard.length === 0) {
        store.publish('other', 'no')
        store.publish('news', 'yes')
        await bench.elapse(20)
      }
      expect(new Set(heard)).toEqual(new Set(['news yes']))
    })
  })
}
