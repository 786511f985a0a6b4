/** What happened, by two witnesses: the file that handlers write to, and the store's own record of what it ended. */
import { readFileSync } from 'node:fs'
import { Redis } from 'ioredis'
import pg from 'pg'

/** One line of the file. */
interface Line {
  readonly what: string
  readonly id: string
  readonly pid: number
  /** Milliseconds since 1970. */
  readonly at: number
}

/** All that handlers have written. */
export function linesOf(file: string): Line[] {
  const text = readFileSync(file, 'utf8').trim()
  return text.split('\n').map((line) => {
    const [what = '', id = '', pid, , at] = line.split(' ')
    return { what, id, pid: Number(pid), at: Number(at) }
  })
}

/** One thing that the store did, by its own record. */
interface StoreEvent {
  readonly event: string
  readonly id: string
}

/** What the store did with each job, as BullMQ's own streams of events have it. */
export function eventsInStore(url: string): Promise<StoreEvent[]> {
  return url.startsWith('postgres') ? eventsInPostgres(url) : eventsInRedis(url)
}

async function eventsInPostgres(connectionString: string): Promise<StoreEvent[]> {
  const client = new pg.Client({ connectionString })
  await client.connect()
  const { rows } = await client.query<StoreEvent>(`select event, data->>'jobId' as id from bullmq.event`)
  await client.end()
  return rows
}

async function eventsInRedis(url: string): Promise<StoreEvent[]> {
  const redis = new Redis(url.replace(/^valkey/, 'redis'))
  const events: StoreEvent[] = []
  for (const stream of await redis.keys('*:events')) {
    for (const [, fields] of await redis.xrange(stream, '-', '+')) {
      const value = (name: string): string => fields[fields.indexOf(name) + 1] ?? ''
      events.push({ event: value('event'), id: value('jobId') })
    }
  }
  redis.disconnect()
  return events
}

/** When the store lets leases of jobs run out, as long as it is asked. */
export interface LeaseWatch {
  /** Milliseconds since 1970, in the order of the jobs; undefined where nobody has a lease. */
  ends(): Promise<(number | undefined)[]>
  close(): Promise<void>
}

/** Watches the leases of some jobs of one queue; `queue` is what its keys start with in Redis. */
export async function watchLeases(url: string, queue: string, ids: readonly string[]): Promise<LeaseWatch> {
  if (url.startsWith('postgres')) {
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    return {
      ends: async () => {
        const { rows } = await client.query<{ id: string; end: string | null }>(
          'select id, locked_until_ms as end from bullmq.job where id = any($1)',
          [ids],
        )
        const ends = new Map(rows.map(({ id, end }) => [id, end === null ? undefined : Number(end)]))
        return ids.map((id) => ends.get(id))
      },
      close: () => client.end(),
    }
  }
  const redis = new Redis(url.replace(/^valkey/, 'redis'))
  return {
    ends: () =>
      Promise.all(
        ids.map(async (id) => {
          const end = await redis.pexpiretime(`${queue}:${id}:lock`)
          return end < 0 ? undefined : end
        }),
      ),
    close: () => Promise.resolve(redis.disconnect()),
  }
}

/** How many running attempts are on record as begun, over all queues. */
export async function begunInStore(url: string): Promise<number> {
  const isBegun = (stacktrace: string | null): boolean => stacktrace?.includes('\\"r\\":') ?? false
  if (url.startsWith('postgres')) {
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    const { rows } = await client.query<{ stacktrace: string | null }>(
      "select stacktrace::text from bullmq.job where state = 'active'",
    )
    await client.end()
    return rows.filter(({ stacktrace }) => isBegun(stacktrace)).length
  }
  const redis = new Redis(url.replace(/^valkey/, 'redis'))
  const locks = await redis.keys('*:lock')
  const traces = await Promise.all(
    locks.map((lock) => redis.hget(lock.slice(0, -':lock'.length), 'stacktrace')),
  )
  redis.disconnect()
  return traces.filter(isBegun).length
}

/** What is wrong with what the witnesses say of these jobs; nothing, if all went well. */
export function faultsOf(
  jobs: readonly { readonly id: string }[],
  lines: readonly Line[],
  events: readonly StoreEvent[],
  /** Processes that were killed: what they had begun may have been begun again. */
  killed: ReadonlySet<number>,
): string[] {
  const byId = Map.groupBy(lines, ({ id }) => id)
  const eventsOf = Map.groupBy(events, ({ id }) => id)
  const faults: string[] = []
  for (const { id } of jobs) {
    const its = byId.get(id) ?? []
    const begun = its.filter(({ what }) => what === 'begin')
    const ended = its.filter(({ what }) => what === 'end')
    const inStore = (eventsOf.get(id) ?? []).map(({ event }) => event)
    const ends = inStore.filter((event) => event === 'completed' || event === 'failed').length
    if (ends !== 1) faults.push(`${id} has ${ends} ends in the store`)
    if (ended.length === 0) faults.push(`${id} has an end in the store and never came to its end`)
    // The last run is the one that counts; each one before it must have been cut short by a kill.
    const excused = begun.slice(0, -1).every(({ pid }) => killed.has(pid))
    if (!excused) {
      faults.push(
        `${id} ran ${begun.length} times, of which a kill excuses not every one: ${courseOf(its)}; in the store: ${inStore.join(', ')}`,
      )
    }
    const finished = ended.filter(({ pid }) => !killed.has(pid))
    if (finished.length > 1) faults.push(`${id} came to its end ${finished.length} times`)
  }
  return faults
}

/** What handlers have written of one job: what, in which process, and how many milliseconds after the first line. */
function courseOf(lines: readonly Line[]): string {
  const [first] = lines
  return lines.map(({ what, pid, at }) => `${what} in ${pid} at ${at - (first?.at ?? at)}`).join(', ')
}
