/** What became of jobs: their attempts, the dead ones, and what is forgotten. */
import { expect } from 'vitest'
import { nextEvent } from '../../kit/next-event.ts'
import { tempFolder } from '../../kit/temp-folder.ts'
import { trail } from './fixture/tasks.ts'
import { overStore, testAt } from './stores.ts'

const { path } = tempFolder('history')
const payload = (fails = 0, ms = 0) => ({ file: path('trail'), ms, fails })

for (const store of ['redis', 'postgres'] as const) {
  overStore(store, (place) => {
    testAt(place, 'the history of a job has each attempt, for whoever asks', async (here) => {
      here.runtime({ role: 'worker' })
      const [producer, other] = [here.runtime({ role: 'producer' }), here.runtime({ role: 'producer' })]
      const before = Date.now()
      const job = producer.enqueue(trail, payload(2))
      const plain = producer.enqueue(trail, payload())
      await Promise.all([job.settled, plain.settled])
      const history = (await other.job(job.id))?.history ?? []
      expect(history).toMatchObject([
        { attempt: 1, outcome: 'failed', thread: 1, error: { message: 'attempt 1 fails' } },
        { attempt: 2, outcome: 'failed', thread: 1, error: { message: 'attempt 2 fails' } },
        { attempt: 3, outcome: 'completed' },
      ])
      const times = history.flatMap(({ startedAt = 0, endedAt = 0 }) => [startedAt, endedAt])
      expect(times).toEqual(times.toSorted((a, b) => a - b))
      expect(times[0]).toBeGreaterThanOrEqual(before)
      expect((await other.job(plain.id))?.history).toMatchObject([{ attempt: 1, outcome: 'completed' }])
    })

    testAt(
      place,
      'a dead job is listed with its last error, has those of every attempt, and keeps them when it starts over',
      async (here) => {
        here.runtime({ role: 'worker' })
        const [producer, other] = [here.runtime({ role: 'producer' }), here.runtime({ role: 'producer' })]
        const job = producer.enqueue(trail, payload(9))
        await job.settled
        expect((await other.jobs({ state: 'dead' })).jobs).toMatchObject([
          { id: job.id, attempts: 3, error: { message: 'attempt 3 fails' } },
        ])
        const dead = nextEvent(other, 'job:dead')
        expect(await other.revive(job.id)).toBe(true)
        expect((await dead).job).toMatchObject({ id: job.id, attempt: 6 })
        const history = (await producer.job(job.id))?.history ?? []
        expect(history.map(({ attempt, outcome, error }) => [attempt, outcome, error?.message])).toEqual(
          [1, 2, 3, 4, 5, 6].map((attempt) => [attempt, 'failed', `attempt ${attempt} fails`]),
        )
      },
    )

    testAt(place, 'dead jobs that all start over are told dead once more, and not before', async (here) => {
      const producer = here.runtime({ role: 'producer' })
      const worker = here.runtime({ role: 'worker' })
      const jobs = Array.from({ length: 5 }, () => producer.enqueue(trail, payload(9)))
      await Promise.all(jobs.map(({ settled }) => settled))
      await worker.stop({ timeout: 0 })
      const other = here.runtime({ role: 'producer' })
      const dead: number[] = []
      const all = Promise.withResolvers<void>()
      other.on('job:dead', ({ job }) => void (dead.push(job.attempt) === jobs.length && all.resolve()))
      expect(await other.reviveAll({ task: 'trail' })).toEqual({ matched: 5, done: 5 })
      expect(await other.counts()).toMatchObject({ available: 5, dead: 0 })
      here.runtime({ role: 'worker' })
      await all.promise
      expect(await other.counts()).toMatchObject({ available: 0, dead: 5 })
      expect(dead).toEqual(jobs.map(() => 6))
      expect(other.stats().pending).toBe(0)
    })

    testAt(place, 'a job that is over is forgotten on request, and no other', async (here) => {
      const producer = here.runtime({ role: 'producer' })
      const cancelled = producer.enqueue(trail, payload())
      await cancelled.stored
      await producer.cancel(cancelled.id)
      await cancelled.settled
      const waiting = producer.enqueue(trail, payload(), { delay: 60_000 })
      here.runtime({ role: 'worker' })
      const [dead, completed] = [producer.enqueue(trail, payload(9)), producer.enqueue(trail, payload())]
      await Promise.all([dead.settled, completed.settled])
      const other = here.runtime({ role: 'producer' })
      expect(await other.remove(waiting.id)).toBe(false)
      for (const { id } of [cancelled, dead, completed]) {
        expect(await other.remove(id)).toBe(true)
        expect(await other.job(id)).toBeUndefined()
        expect(await other.remove(id)).toBe(false)
      }
      expect((await producer.jobs()).jobs.map(({ id }) => id)).toEqual([waiting.id])
    })

    testAt(place, 'the history of a job that was cancelled while it ran says so', async (here) => {
      const worker = here.runtime({ role: 'worker' })
      const producer = here.runtime({ role: 'producer' })
      const started = nextEvent(worker, 'job:started')
      const long = producer.enqueue(trail, payload(0, 60_000))
      await started
      await producer.cancel(long.id, 'enough')
      await long.settled
      expect((await producer.job(long.id))?.history).toMatchObject([
        { attempt: 1, outcome: 'cancelled', thread: 1, error: { code: 'ERR_TASK_CANCELLED' } },
      ])
    })
  })
}
