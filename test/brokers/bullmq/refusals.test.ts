/** A store that answers and takes no writes, and one that never will: what whoever runs the process is told. */
import { inspect } from 'node:util'
import { beforeAll, expect, test } from 'vitest'
import { bullmqBroker } from '../../../src/brokers/bullmq.ts'
import { createRuntime } from '../../../src/engine/runtime.ts'
import type { BrokerUnavailableError } from '../../../src/words/errors.ts'
import { nextEvent } from '../../kit/next-event.ts'
import { type StoreServer, storeServer, whyNot } from '../../kit/store-servers.ts'
import { tempFolder } from '../../kit/temp-folder.ts'
import { trail } from './fixture/tasks.ts'
import { overStore, type Place, testAt } from './stores.ts'

const { newFile } = tempFolder('refusals')
const PATIENCE = 300

interface Trouble {
  readonly what: string
  readonly reason: string
  /** In the message of the error. */
  readonly word: RegExp
  begin(server: StoreServer): void
  end(server: StoreServer): void
}

const TROUBLES: Record<'redis' | 'postgres', readonly Trouble[]> = {
  redis: [
    {
      ...{ what: 'is out of memory', reason: 'full', word: /OOM command not allowed/ },
      begin: (server) => void server.ask('config', 'set', 'maxmemory', '1mb'),
      end: (server) => void server.ask('config', 'set', 'maxmemory', '0'),
    },
    {
      ...{ what: 'has become a replica', reason: 'read-only', word: /READONLY You can't write/ },
      begin: (server) => void server.ask('replicaof', '127.0.0.1', '1'),
      end: (server) => void server.ask('replicaof', 'no', 'one'),
    },
    {
      ...{ what: 'lets its user run no scripts', reason: 'denied', word: /NOPERM.*eval/ },
      begin: (server) => void server.ask('acl', 'setuser', 'default', '-@scripting'),
      end: (server) => void server.ask('acl', 'setuser', 'default', '+@all'),
    },
  ],
  postgres: [
    {
      ...{ what: 'is read-only', reason: 'read-only', word: /in a read-only transaction/ },
      begin: (server) =>
        void server.ask('alter system set default_transaction_read_only = on', 'select pg_reload_conf()'),
      end: (server) =>
        void server.ask('alter system reset default_transaction_read_only', 'select pg_reload_conf()'),
    },
    {
      ...{ what: 'has lost a right of its user', reason: 'denied', word: /permission denied for table job/ },
      begin: (server) => void server.ask('alter table bullmq.job owner to postgres'),
      end: (server) => void server.ask('alter table bullmq.job owner to app'),
    },
  ],
}

/** Does something while the server is in trouble. */
async function during<T>(
  { begin, end }: Pick<Trouble, 'begin' | 'end'>,
  server: StoreServer,
  act: () => Promise<T>,
): Promise<T> {
  begin(server)
  try {
    return await act()
  } finally {
    end(server)
  }
}

for (const store of ['redis', 'postgres'] as const) {
  overStore(store, (place) => {
    beforeAll(() => {
      if (store === 'postgres')
        place().server.ask('create role app login', 'grant create on database postgres to app')
    })

    for (const { what, reason, word, begin, end } of TROUBLES[store]) {
      testAt(
        place,
        `a store that ${what} is down with its own words after the patience, refuses with 503, and heals by itself`,
        async (here) => {
          const connection = here.server.url.replace('postgres@', 'app@')
          const runtime = here.runtime({ patience: PATIENCE, connection })
          const dead = runtime.enqueue(trail, { file: newFile(), ms: 1, fails: 1 }, { maxAttempts: 1 })
          expect((await dead.settled).state).toBe('dead')
          const { accepted, up } = await during({ begin, end }, here.server, async () => {
            const down = nextEvent(runtime, 'broker:down')
            const job = runtime.enqueue(trail, { file: newFile(), ms: 1 })
            const { error } = await down
            expect(error).toMatchObject({ code: 'ERR_BROKER_UNAVAILABLE', reason, status: 503 })
            expect(error.message).toMatch(word)
            expect(runtime.stats().broker).toMatchObject({ state: 'down' })
            const refusal = expect.objectContaining({ code: 'ERR_BROKER_UNAVAILABLE', status: 503, reason })
            expect(() => runtime.enqueue(trail, { file: newFile(), ms: 1 })).toThrow(refusal)
            const answers = await Promise.allSettled<unknown>([
              ...[runtime.counts(), runtime.job('jx-1'), runtime.jobs(), runtime.schedules()],
              ...[runtime.cancel('jx-1'), runtime.revive('jx-1'), runtime.remove('jx-1')],
              // It is at hand, and what has become of it cannot be written.
              ...[runtime.unschedule('x'), runtime.revive(dead.id)],
            ])
            expect(answers).toEqual(answers.map(() => ({ status: 'rejected', reason: refusal })))
            return { accepted: job, up: nextEvent(runtime, 'broker:up') }
          })
          await up
          expect(await accepted.settled).toMatchObject({ state: 'completed', attempts: 1 })
          expect(runtime.enqueue(trail, { file: newFile(), ms: 1 }).name).toBe('trail')
        },
      )
    }

    testAt(place, 'a stop names as lost what a store that refuses writes has never had', async (here) => {
      const connection = here.server.url.replace('postgres@', 'app@')
      const runtime = here.runtime({ patience: PATIENCE, whenDown: 'buffer', connection })
      await runtime.ready()
      const { jobs, report } = await during(TROUBLES[store][0] as Trouble, here.server, async () => {
        const down = nextEvent(runtime, 'broker:down')
        await down
        const added = [1, 2, 3].map(() => runtime.enqueue(trail, { file: newFile(), ms: 1 }))
        return { jobs: added, report: await runtime.stop({ timeout: 0 }) }
      })
      expect(report.lost).toEqual(jobs.map(({ id, name }) => ({ id, name })))
      const ends = await Promise.all(jobs.map((job) => job.settled))
      expect(ends.map(({ error }) => error?.message)).toEqual(
        jobs.map(() => 'The runtime stopped before "trail" had finished, and its broker does not have it.'),
      )
    })
  })
}

// ── What will not heal by itself ─────────────────────────────────────────────────────────────────────────────────────

overStore('redis', (place) => {
  const refusedAt = async (here: Place, connection: string): Promise<BrokerUnavailableError> => {
    const runtime = here.runtime({ connection })
    const error: unknown = await runtime.ready().catch((fault: unknown) => fault)
    expect(runtime.stats().broker?.state).toBe('down')
    expect(inspect(error, { depth: 9 })).not.toContain('hidden')
    return error as BrokerUnavailableError
  }

  testAt(
    place,
    'a wrong password, a right that is missing and no such database reject ready()',
    async (here) => {
      const url = new URL(here.server.url)
      const at = (user: string): string => `redis://${user}:hidden@${url.host}`
      here.server.ask('acl', 'setuser', 'lacking', 'on', '>hidden', '~*', '&*', '+@all', '-zadd', '-xtrim')
      here.server.ask('acl', 'setuser', 'deaf', 'on', '>hidden', '~*', 'resetchannels', '+@all')
      const faults = [
        await refusedAt(here, at('nobody')),
        await refusedAt(here, at('lacking')),
        await refusedAt(here, at('deaf')),
        await refusedAt(here, `${at('default').replace('default:hidden@', '')}/99`),
      ]
      expect(faults.map(({ code, reason }) => [code, reason])).toEqual([
        ['ERR_BROKER_UNAVAILABLE', 'denied'],
        ['ERR_BROKER_UNAVAILABLE', 'denied'],
        ['ERR_BROKER_UNAVAILABLE', 'denied'],
        ['ERR_BROKER_UNAVAILABLE', 'missing'],
      ])
      expect(faults.map(({ message }) => message)).toEqual([
        expect.stringContaining('Its password or its user is wrong.'),
        expect.stringContaining('no permission to run XTRIM, ZADD.'),
        expect.stringContaining('Give its user the rights'),
        expect.stringContaining('make it, or name another'),
      ])
    },
  )
})

overStore('postgres', (place) => {
  testAt(place, 'no such user, no such database and no right to create reject ready()', async (here) => {
    here.server.ask('create role guest login', 'create database closed')
    const { server } = here
    const at = (user: string, database: string): string =>
      server.url.replace('postgres@', `${user}:hidden@`).replace(/postgres$/, database)
    const reasons: unknown[] = []
    for (const connection of [at('nobody', 'postgres'), at('guest', 'nowhere'), at('guest', 'closed')]) {
      const error: unknown = await here
        .runtime({ connection })
        .ready()
        .catch((fault: unknown) => fault)
      expect(inspect(error, { depth: 9 })).not.toContain('hidden')
      reasons.push(Reflect.get(error as object, 'reason'))
    }
    expect(reasons).toEqual(['denied', 'missing', 'denied'])
  })

  testAt(place, 'jobs run where the connection sets a search_path of its own', async (here) => {
    const connection = `${here.server.url}?options=-c%20search_path%3Dpublic`
    const runtime = here.runtime({ connection })
    expect(await runtime.enqueue(trail, { file: newFile(), ms: 1 }).settled).toMatchObject({
      state: 'completed',
    })
  })
})

const noRedis = whyNot('redis')
test.skipIf(noRedis !== undefined)('a node of a Redis Cluster rejects ready()', async () => {
  const server = await storeServer('redis', ['--cluster-enabled', 'yes'])
  try {
    await server.start()
    const broker = bullmqBroker({ connection: server.url })
    const runtime = createRuntime({ tasks: [trail], broker, log: false, pool: { threads: 1 } })
    await expect(runtime.ready()).rejects.toMatchObject({
      code: 'ERR_BROKER_UNAVAILABLE',
      reason: 'unsupported',
      message: expect.stringContaining('a node of a Redis Cluster, which is not supported'),
    })
    await runtime.stop({ timeout: 0 })
  } finally {
    await server.dispose()
  }
})
