/** Jobs that complete together in Redis: what is left there is what BullMQ leaves, and a fault stays with its job. */
import { createRedisBackend, type IQueueBackend, Queue } from 'bullmq'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { backendOptions } from '../../../../../src/brokers/bullmq/store/queue-options.ts'
import { RedisSource } from '../../../../../src/brokers/bullmq/store/redis/redis-source.ts'
import { type Scripts, scriptsOf } from '../../../../../src/brokers/bullmq/store/redis/scripts.ts'
import { type StoreServer, storeServer, whyNot } from '../../../../kit/store-servers.ts'

const JOBS = 8

const reason = whyNot('redis')
describe.skipIf(reason !== undefined)(
  `jobs that complete together${reason === undefined ? '' : ` (${reason})`}`,
  () => {
    let server: StoreServer
    let redis: Redis
    let scripts: Scripts
    let queue: Queue
    let backend: IQueueBackend
    let together: RedisSource

    beforeAll(async () => {
      server = await storeServer('redis')
      await server.start()
    })
    afterAll(() => server.dispose())

    const connect = (): void => {
      redis = new Redis(server.url, { maxRetriesPerRequest: null })
      scripts = scriptsOf(redis)
    }
    const sourceWith = (known: Scripts): RedisSource => {
      const keep = { count: 100, age: 60 }
      const settings = backendOptions({ lease: 60_000, retention: { count: 100, age: 60_000 } })
      const options = { ...settings, connection: redis, name: 'me' }
      backend = createRedisBackend('q', options as never, {})
      const parts = {
        queue: 'q',
        name: 'me',
        isJsonb: false,
        wall: Date.now,
        recheck: 1000,
        backend: () => backend,
      }
      const locks = { enter: () => Promise.resolve('first' as const), promote: () => Promise.resolve() }
      const of = {
        ...{ redis, scripts: known, prefix: 'bull', queue: 'q', name: 'me', lease: 60_000 },
        keep: () => keep,
      }
      const leave = (): Promise<void> => Promise.resolve()
      return new RedisSource({ ...parts, ...locks }, { ...of, wall: Date.now, backend: () => backend, leave })
    }
    beforeEach(async () => {
      connect()
      await redis.flushall()
      queue = new Queue('q', { connection: redis })
      const names = Array.from({ length: JOBS }, (_, n) => ({
        name: 'any',
        data: {},
        opts: { jobId: `j-${n}` },
      }))
      await queue.addBulk(names)
      together = sourceWith(scripts)
      return async () => {
        await queue.close()
        redis.disconnect()
      }
    })

    /** Takes four jobs and completes them in one turn: which job comes with each, or what is wrong with it. */
    const fourOf = async (source: RedisSource, taken = (): unknown => undefined): Promise<unknown[]> => {
      const { jobs: claimed } = await source.claim(['a', 'b', 'c', 'd'])
      await taken()
      const leases = claimed.map(({ token, job: { id } }) => ({ id, token, starts: 1, stalls: 0 }))
      const ending = { locks: [], stops: false, fetchNext: true }
      const ends = await Promise.allSettled(
        leases.map((lease, n) =>
          n < 3
            ? source.end(lease, { ...ending, state: 'completed', result: `{"n":${n}}` })
            : source.end(lease, { ...ending, state: 'dead', left: { reason: 'no', stacktrace: '["no"]' } }),
        ),
      )
      return ends.map((end) => {
        if (end.status === 'fulfilled') return end.value?.job.id
        return Reflect.get(end.reason, 'code') ?? String(end.reason)
      })
    }
    const next = ['j-4', 'j-5', 'j-6', 'j-7']

    test('have one command, and with each comes the next job', async () => {
      const ends = await fourOf(together, () => redis.config('RESETSTAT'))
      const calls = /cmdstat_eval(?:sha)?:calls=(\d+)/g
      const counted = [...(await redis.info('commandstats')).matchAll(calls)].map(([, count]) =>
        Number(count),
      )
      expect(counted).toEqual([1])
      expect(ends).toEqual(next)
    })

    test('leave in the store what BullMQ itself leaves', async () => {
      const left: unknown[] = []
      for (const source of [together, sourceWith(changed(scripts))]) {
        await redis.flushall()
        const jobs = Array.from({ length: JOBS }, (_, n) => ({
          name: 'any',
          data: { n },
          opts: { jobId: `j-${n}`, ...(n % 2 ? { priority: n } : {}), deduplication: { id: `d-${n}` } },
        }))
        await queue.addBulk(jobs)
        left.push([await fourOf(source), await contents(redis)])
      }
      expect(left[0]).toEqual(left[1])
    })

    test('keep to themselves what is wrong with one of them', async () => {
      const ends = await fourOf(together, async () => {
        await redis.set('bull:q:j-1:dependencies', 'no set')
        await redis.set('bull:q:j-2:lock', 'another')
      })
      expect(ends).toEqual(['j-4', expect.stringContaining('WRONGTYPE'), -6, 'j-5'])
      expect(await queue.getJobCounts('completed', 'failed', 'active')).toEqual({
        completed: 1,
        failed: 1,
        active: 4,
      })
    })

    test('have commands of their own where BullMQ has another script than was known', async () => {
      expect(together.isSingle).toBe(false)
      const other = sourceWith(changed(scripts))
      expect(await fourOf(other)).toEqual(next)
      expect(other.isSingle).toBe(true)
    })

    test('have commands of their own where the store does not take one for all', async () => {
      redis.defineCommand('aftertask:endMany', { lua: 'this is no script', numberOfKeys: 1 })
      expect(await fourOf(together)).toEqual(next)
      expect(together.isSingle).toBe(false)
    })
  },
)

/** Scripts as BullMQ may have them one day. */
function changed(scripts: Scripts): Scripts {
  return new Map([...scripts].map(([name, lua]) => [name, `${lua}\n-- another version`]))
}

/** All that is stored, without times: those of an event are in its id, those of a job in its fields. */
async function contents(redis: Redis): Promise<Record<string, unknown>> {
  const found: Record<string, unknown> = {}
  for (const key of (await redis.keys('*')).sort()) {
    const type = await redis.type(key)
    if (type === 'hash') found[key] = withoutTimes(await redis.hgetall(key))
    else if (type === 'zset') found[key] = await redis.zrange(key, 0, -1)
    else if (type === 'list') found[key] = await redis.lrange(key, 0, -1)
    else if (type === 'set') found[key] = await redis.smembers(key)
    else if (type === 'stream') found[key] = (await redis.xrange(key, '-', '+')).map(([, fields]) => fields)
    else found[key] = [await redis.get(key), (await redis.pttl(key)) > 0]
  }
  return found
}

function withoutTimes(fields: Record<string, string>): Record<string, string> {
  const times = ['timestamp', 'processedOn', 'finishedOn']
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, times.includes(name) ? '' : value]),
  )
}
