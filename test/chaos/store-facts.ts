/** What stands in the store itself, read past the library. */
import { DatabaseSync } from 'node:sqlite'
import { Redis } from 'ioredis'
import pg from 'pg'
import { STATES } from '../../src/rules/journal-protocol.ts'

/** How many jobs are in each state that is no good end: unfinished, or `dead`, which BullMQ says of cancelled ones, too. */
export async function unendedIn(store: string): Promise<Record<string, number>> {
  const counts = await (store.startsWith('postgres')
    ? inPostgres(store)
    : /^\w+:\/\//.test(store)
      ? inRedis(store)
      : inJournal(store))
  return Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0))
}

async function inPostgres(connectionString: string): Promise<Record<string, number>> {
  const client = new pg.Client({ connectionString })
  await client.connect()
  const { rows } = await client.query<{ state: string; count: string }>(
    "select state::text, count(*) from bullmq.job where state::text <> 'completed' group by state",
  )
  await client.end()
  return Object.fromEntries(
    rows.map(({ state, count }) => [state === 'failed' ? 'dead' : state, Number(count)]),
  )
}

async function inRedis(url: string): Promise<Record<string, number>> {
  const redis = new Redis(url.replace(/^valkey/, 'redis'))
  const counts: Record<string, number> = {}
  for (const [list, count] of [
    ...(['wait', 'active', 'paused'] as const).map(
      (name) => [name, (key: string) => redis.llen(key)] as const,
    ),
    ...(['delayed', 'prioritized', 'waiting-children', 'failed'] as const).map(
      (name) => [name, (key: string) => redis.zcard(key)] as const,
    ),
  ]) {
    for (const key of await redis.keys(`*:${list}`)) counts[list] = (counts[list] ?? 0) + (await count(key))
  }
  redis.disconnect()
  const { failed = 0, ...unfinished } = counts
  return { ...unfinished, dead: failed }
}

async function inJournal(file: string): Promise<Record<string, number>> {
  const db = new DatabaseSync(file, { readOnly: true })
  const rows = db.prepare('SELECT state, count(*) AS count FROM jobs GROUP BY state').all()
  db.close()
  const counts = rows.map(
    ({ state, count }) => [STATES[Number(state)] ?? `state ${state}`, Number(count)] as const,
  )
  return Object.fromEntries(
    counts.filter(([state]) => !['completed', 'cancelled', 'skipped'].includes(state)),
  )
}
