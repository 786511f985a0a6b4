/** A store that answers and takes no writes, and one that never will: what whoever runs the process is told. */
import { beforeAll, expect } from 'vitest'
import { nextEvent } from '../../kit/next-event.ts'
import type { StoreServer } from '../../kit/store-servers.ts'
import { tempFolder } from '../../kit/temp-folder.ts'
import { trail } from './fixture/tasks.ts'
import { overStore, testAt } from './stores.ts'

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
          await runtime.ready()
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
              runtime.unschedule('x'),
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
