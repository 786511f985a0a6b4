/** A store that is away, or silent, for longer than a lease: who still has a job keeps it, and nobody runs it beside him. */
import { setTimeout } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { expect, onTestFinished, vi } from 'vitest'
import type { Job } from '../../../src/engine/job.ts'
import { fileAppears } from '../../kit/file-appears.ts'
import { lossyProxy } from '../../kit/lossy-proxy.ts'
import { nextEvent } from '../../kit/next-event.ts'
import { tempFolder } from '../../kit/temp-folder.ts'
import { startWorker } from '../../kit/worker-process.ts'
import { clinging, trail } from './fixture/tasks.ts'
import { eventsInStore, faultsOf, linesOf } from './rounds/witness.ts'
import { overStore, playAt, testAt } from './stores.ts'

const { newFile } = tempFolder('outages')
const LEASE = 500
const BEGIN_END = ['begin', 'end']
const LONG = 30_000
const AT_THE_END = { end: 'aftertask.end_many(', retry: 'move_to_delayed' }

for (const store of ['redis', 'postgres'] as const) {
  overStore(store, (place) => {
    playAt(
      place,
      'a job that ends while the store is away for longer than a lease runs once and ends once',
      async (here, slower) => {
        const lease = slower * LEASE
        const producer = here.runtime({ role: 'producer', lease })
        const workers = [1, 2].map(() => here.runtime({ role: 'worker', lease }))
        await Promise.all(workers.map((worker) => worker.ready()))
        const begun = Promise.race(workers.map((worker) => nextEvent(worker, 'job:started')))
        const file = newFile()
        const job = producer.enqueue(trail, { file, ms: lease / 2 })
        await begun
        await here.server.stop(true)
        await setTimeout(2.2 * lease)
        await here.server.start()
        expect(await job.settled).toMatchObject({ state: 'completed', attempts: 1 })
        expect(linesOf(file).map(({ what }) => what)).toEqual(BEGIN_END)
        const events = await eventsInStore(here.server.url)
        expect(faultsOf([job], linesOf(file), events, new Set())).toEqual([])
      },
    )

    testAt(
      place,
      'a job whose process dies while the store is away for longer than a lease goes on elsewhere once it is back',
      async (here) => {
        const producer = here.runtime({ role: 'producer', lease: LEASE })
        const args = ['--store', here.server.url, '--prefix', here.prefix, '--lease', String(LEASE)]
        const dies = await startWorker(new URL('./fixture/tasks.ts', import.meta.url), ...args)
        const file = newFile()
        const job = producer.enqueue(clinging, { file, how: 'waits' })
        await fileAppears(file)
        const other = here.runtime({ role: 'worker', lease: LEASE })
        await other.ready()
        await here.server.stop(true)
        await dies.end('SIGKILL')
        await setTimeout(1.5 * LEASE)
        await here.server.start()
        expect(await job.settled).toMatchObject({ state: 'completed', result: 'again' })
      },
    )

    for (const [patience, what] of [
      [5000, 'waits for it'],
      [150, 'tries new connections'],
    ] as const) {
      playAt(
        place,
        `a store that hangs for longer than a lease costs no job and no second run, where its process ${what}`,
        async (here, slower) => {
          const lease = slower * LEASE
          const producer = here.runtime({ role: 'producer', lease, patience, whenDown: 'buffer' })
          const workers = [1, 2].map(() => here.runtime({ role: 'worker', lease, patience }))
          await Promise.all(workers.map((worker) => worker.ready()))
          const begun = Promise.race(workers.map((worker) => nextEvent(worker, 'job:started')))
          const file = newFile()
          const jobs = [producer.enqueue(trail, { file, ms: lease / 2 })]
          await begun
          here.server.hang()
          jobs.push(producer.enqueue(trail, { file, ms: 1 }))
          await setTimeout(2.2 * lease)
          jobs.push(producer.enqueue(trail, { file, ms: 1 }))
          here.server.goOn()
          const settled = await Promise.all(jobs.map((job) => job.settled))
          expect(settled.map(({ state, attempts }) => [state, attempts])).toEqual(
            jobs.map(() => ['completed', 1]),
          )
          const lines = linesOf(file)
          const events = await eventsInStore(here.server.url)
          expect(faultsOf(jobs, lines, events, new Set())).toEqual([])
          expect(workers.map((worker) => worker.stats().broker?.fenced)).toEqual([0, 0])
        },
      )
    }

    testAt(
      place,
      'a store that hangs counts as away after `patience`, with its connections open, until it answers',
      async (here) => {
        const refusing = here.runtime({ role: 'producer', patience: 300 })
        const buffering = here.runtime({ role: 'producer', patience: 300, whenDown: 'buffer' })
        here.runtime({ role: 'worker' })
        const both = [refusing, buffering]
        await Promise.all(both.map((runtime) => runtime.ready()))
        const file = newFile()
        await refusing.enqueue(trail, { file, ms: 1 }).settled
        const down = both.map((runtime) => nextEvent(runtime, 'broker:down'))
        const up = both.map((runtime) => nextEvent(runtime, 'broker:up'))
        here.server.hang()
        const [{ error } = {}] = await Promise.all(down)
        const [, silence] = /^The store has not answered for (\d+) ms\.$/.exec(error?.message ?? '') ?? []
        expect(Number(silence)).toBeGreaterThanOrEqual(300)
        expect(() => refusing.enqueue(trail, { file, ms: 1 })).toThrow(/cannot be reached/)
        const job = buffering.enqueue(trail, { file, ms: 1 })
        expect(both.map((runtime) => runtime.stats().broker?.state)).toEqual(['down', 'down'])
        here.server.goOn()
        await Promise.all(up)
        expect(await job.settled).toMatchObject({ state: 'completed', attempts: 1 })
        expect(await refusing.enqueue(trail, { file, ms: 1 }).settled).toMatchObject({ state: 'completed' })
      },
    )

    for (const how of ['is away', 'hangs'] as const) {
      testAt(place, `a process stops though the store ${how}`, async (here) => {
        const runtimes = [1, 2].map(() => here.runtime({ patience: 150 }))
        await Promise.all(runtimes.map((runtime) => runtime.ready()))
        const down = runtimes.map((runtime) => nextEvent(runtime, 'broker:down'))
        await (how === 'hangs' ? here.server.hang() : here.server.stop(true))
        await Promise.all(down)
        // One that has never reached it hears of no server that hangs.
        if (how === 'is away') {
          const late = here.runtime({ patience: 150 })
          await nextEvent(late, 'broker:down')
          runtimes.push(late)
        }
        await Promise.all(runtimes.map((runtime) => runtime.stop({ timeout: 0 })))
        await (how === 'hangs' ? here.server.goOn() : here.server.start())
      })
    }

    // What each store is told when an attempt is over.
    const told = store === 'redis' ? { end: 'completed', retry: 'failedReason' } : AT_THE_END
    for (const keep of [1000, 0]) {
      testAt(
        place,
        `an end is told once, and not as refused, when the store's answer to it got lost (retention: ${keep})`,
        async (here) => {
          const proxy = await lossyProxy(here.server.url)
          const options = { retention: { count: keep } }
          const runtime = here.runtime({ connection: proxy.url, lease: LONG }, options)
          await runtime.ready()
          const ends: string[] = []
          runtime.on('job:completed', ({ job: { id } }) => ends.push(id))
          runtime.on('job:fenced', () => ends.push('fenced'))
          const file = newFile()
          const add = (): Job => runtime.enqueue(trail, { file, ms: 10 })
          // From the second time on, Redis is given the name of a script instead of its text.
          const first = add()
          await first.settled
          const up = nextEvent(runtime, 'broker:up')
          const lost = proxy.loseAnswerTo(told.end)
          const second = add()
          await lost
          expect(await second.settled).toMatchObject({ state: 'completed', attempts: 1 })
          if (store === 'redis') await up
          const third = add()
          expect(await third.settled).toMatchObject({ state: 'completed', attempts: 1 })
          expect(ends).toEqual([first.id, second.id, third.id])
          expect(linesOf(file).map(({ what }) => what)).toEqual(BEGIN_END.concat(BEGIN_END, BEGIN_END))
        },
      )
    }

    if (store === 'postgres') {
      for (const [what, text] of [
        ['fetched', 'lateral move_to_active('],
        ['fetched as another ended', 'aftertask.end_many('],
      ] as const) {
        testAt(
          place,
          `a job that was ${what} runs at once, and once, when the answer got lost`,
          async (here) => {
            const proxy = await lossyProxy(here.server.url)
            const producer = here.runtime({ role: 'producer' })
            const worker = here.runtime({ role: 'worker', connection: proxy.url, lease: LONG })
            await worker.ready()
            const file = newFile()
            const lost = proxy.loseAnswerTo(text)
            const jobs = [20, 20, 20].map((ms) => producer.enqueue(trail, { file, ms }))
            await lost
            const settled = await Promise.all(jobs.map((job) => job.settled))
            expect(settled.map(({ state, attempts }) => [state, attempts])).toEqual(
              jobs.map(() => ['completed', 1]),
            )
            const events = await eventsInStore(here.server.url)
            expect(faultsOf(jobs, linesOf(file), events, new Set())).toEqual([])
          },
        )
      }
    }

    if (store === 'redis') {
      testAt(place, 'a connection that closes as it subscribes again ends no process', async (here) => {
        const duplicate = vi.spyOn(Redis.prototype, 'duplicate')
        const runtime = here.runtime({ role: 'producer' })
        await runtime.ready()
        const listener = duplicate.mock.results[0]?.value as Redis
        duplicate.mockRestore()
        const unhandled: unknown[] = []
        const hear = (error: unknown): void => void unhandled.push(error)
        process.on('unhandledRejection', hear)
        onTestFinished(() => void process.off('unhandledRejection', hear))
        const closed = new Promise<void>((resolve) => {
          listener.once('ready', () => {
            listener.once('end', resolve)
            listener.disconnect()
            listener.stream.destroy()
          })
        })
        here.server.ask('client', 'kill', 'type', 'pubsub')
        await closed
        expect(await runtime.counts()).toMatchObject({ available: 0 })
        expect(unhandled).toEqual([])
      })
    }

    testAt(place, 'a job is tried again once when the answer to that got lost', async (here) => {
      const proxy = await lossyProxy(here.server.url)
      const runtime = here.runtime({ connection: proxy.url, lease: LONG })
      await runtime.ready()
      const add = (): Job => runtime.enqueue(trail, { file: newFile(), ms: 10, fails: 1 })
      await add().settled
      const lost = proxy.loseAnswerTo(told.retry)
      const job = add()
      await lost
      expect(await job.settled).toMatchObject({ state: 'completed', attempts: 2 })
      expect(runtime.stats().broker?.fenced).toBe(0)
    })
  })
}
