/** All that can go wrong: with a process, with a server, with a file. */
import { existsSync, renameSync, rmSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as wait } from 'node:timers/promises'
import type { StoreServer } from '../kit/store-servers.ts'

/** What the store suffers, from the beginning to the moment when it is well again. */
export interface StoreTrouble {
  readonly kind: string
  /** Whether processes must not be started meanwhile. */
  readonly isStartBarred?: boolean
  /** `ms`: how long it lasts. */
  play(ms: number): Promise<void>
}

function lasting(kind: string, begin: () => unknown, end: () => unknown): StoreTrouble {
  return {
    kind,
    play: async (ms) => {
      await begin()
      await wait(ms)
      await end()
    },
  }
}

function ofEveryServer(server: StoreServer): StoreTrouble[] {
  return [
    lasting(
      'stopped',
      () => server.stop(),
      () => server.start(),
    ),
    lasting(
      'killed',
      () => server.stop(true),
      () => server.start(),
    ),
    lasting(
      'stands still',
      () => server.hang(),
      () => server.goOn(),
    ),
    { kind: 'connections cut', play: async () => server.cut() },
  ]
}

/** What happens to Redis and Valkey. */
export function ofRedis(server: StoreServer): StoreTrouble[] {
  const asked = (kind: string, begin: string, end: string): StoreTrouble =>
    lasting(
      kind,
      () => server.ask(...begin.split(' ')),
      () => server.ask(...end.split(' ')),
    )
  return [
    ...ofEveryServer(server),
    asked('out of memory', 'config set maxmemory 1mb', 'config set maxmemory 0'),
    asked('read-only', 'replicaof 127.0.0.1 1', 'replicaof no one'),
    asked('without a right', 'acl setuser default -@scripting', 'acl setuser default +@all'),
  ]
}

/** What happens to PostgreSQL. Processes are there as the user `app`. */
export function ofPostgres(server: StoreServer): StoreTrouble[] {
  const asked = (kind: string, begin: readonly string[], end: readonly string[]): StoreTrouble =>
    lasting(
      kind,
      () => server.ask(...begin),
      () => server.ask(...end),
    )
  const reload = 'select pg_reload_conf()'
  return [
    ...ofEveryServer(server),
    asked(
      'read-only',
      ['alter system set default_transaction_read_only = on', reload],
      ['alter system reset default_transaction_read_only', reload],
    ),
    lasting(
      'few connections',
      () => {
        server.ask('alter role app connection limit 3')
        server.cut()
      },
      () => server.ask('alter role app connection limit -1'),
    ),
    asked(
      'without a right',
      ['alter table bullmq.job owner to postgres'],
      ['alter table bullmq.job owner to app'],
    ),
  ]
}

/** What happens to the file of a journal. */
export function ofJournal(file: string): StoreTrouble[] {
  let other: DatabaseSync | undefined
  return [
    { kind: 'lock removed', play: async () => rmSync(`${file}.lock`, { force: true }) },
    {
      ...lasting(
        'vanished, and back',
        () => renameSync(file, `${file}.away`),
        // Whoever has made a new one in its place would have made two journals of one.
        () => {
          if (existsSync(file)) throw new Error('A journal that had vanished was made anew by a process.')
          renameSync(`${file}.away`, file)
        },
      ),
      isStartBarred: true,
    },
    lasting(
      'locked by another program',
      () => {
        other = new DatabaseSync(file, { timeout: 10_000 })
        other.exec('BEGIN IMMEDIATE')
      },
      () => {
        other?.exec('ROLLBACK')
        other?.close()
      },
    ),
  ]
}
