/**
 * Single scenes of a bad week with real servers, and what an operator sees of each: a fail-over by Sentinel, clocks that are
 * wrong, quick restarts with a schedule, a standstill of 32 seconds, and 3,000 jobs for a store that refuses.
 *
 * npm run chaos:scenes
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { createRuntime, type Job, type Runtime } from 'aftertask'
import { type BullmqOptions, bullmqBroker } from 'aftertask/bullmq'
import { freePort } from '../kit/free-port.ts'
import { type StoreName, type StoreServer, storeServer } from '../kit/store-servers.ts'
import { wrongClock } from '../kit/wrong-clock.ts'
import { judge } from './judge.ts'
import { Member } from './member.ts'
import * as tasks from './tasks.ts'
import { type Deed, type Line, note, now, read } from './trail.ts'

const MANY = 3000
const LEASE = 5000
const STOP = 1500
const rows: Record<string, unknown>[] = []
const folder = mkdtempSync(join(tmpdir(), 'aftertask-scenes-'))
let files = 0

function row(scene: string, store: string, seen: Readonly<Record<string, unknown>>): void {
  rows.push({ scene, store, ...seen })
  console.log(scene, store, JSON.stringify(seen))
}

const since = (from: number): number => Math.round(now() - from)

// ── One process of our own ───────────────────────────────────────────────────────────────────────────────────────────

interface Watched {
  readonly runtime: Runtime<never>
  /** What it was told of its store: when, what, and why. */
  readonly told: string[]
}

function watched(connection: BullmqOptions['connection'], from: () => number, more: object = {}): Watched {
  const trail = join(folder, `trail-${files++}`)
  process.env['CHAOS_TRAIL'] = trail
  const runtime = createRuntime({
    tasks: Object.values(tasks),
    broker: bullmqBroker({ connection, patience: 1000, whenDown: 'buffer', ...more }),
    pool: { threads: 1, concurrency: 32 },
    retention: { count: 1_000_000 },
    log: false,
  })
  const told: string[] = []
  runtime.on('broker:down', ({ error }) => {
    told.push(`down after ${since(from())} ms (${String(Reflect.get(error, 'reason'))})`)
  })
  runtime.on('broker:up', () => void told.push(`up after ${since(from())} ms`))
  return { runtime: runtime as unknown as Runtime<never>, told }
}

function add({ runtime }: Watched, count: number, ms = 1): Job[] {
  const enqueue = runtime.enqueue as unknown as (task: string, payload: object) => Job
  return Array.from({ length: count }, (_, n) => enqueue.call(runtime, 'short', { mark: `s${n}`, ms }))
}

async function ends(jobs: readonly Job[]): Promise<string> {
  const counts: Record<string, number> = {}
  for (const { state } of await Promise.all(jobs.map((job) => job.settled)))
    counts[state] = (counts[state] ?? 0) + 1
  return Object.entries(counts)
    .map(([state, count]) => `${count} ${state}`)
    .join(', ')
}

// ── Sentinel ─────────────────────────────────────────────────────────────────────────────────────────────────────────

async function failOver(): Promise<void> {
  const [master, replica] = [await storeServer('redis'), await storeServer('redis')]
  let sentinel: ChildProcess | undefined
  try {
    await master.start()
    await replica.start()
    const port = new URL(master.url).port
    replica.ask('replicaof', '127.0.0.1', port)
    while (!replica.ask('info', 'replication').includes('master_link_status:up')) await wait(100)
    const sentinelPort = await freePort()
    const file = join(folder, 'sentinel.conf')
    const settings = ['down-after-milliseconds main 1000', 'failover-timeout main 10000']
    writeFileSync(
      file,
      `port ${sentinelPort}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 ${port} 1\n${settings.map((setting) => `sentinel ${setting}`).join('\n')}\n`,
    )
    sentinel = spawn('redis-server', [file, '--sentinel'], { stdio: 'ignore' })
    // The Sentinel has to have heard of the replica, which it asks the master for every ten seconds.
    await wait(12_000)
    let killed = now()
    const sentinels = [{ host: '127.0.0.1', port: sentinelPort }]
    const one = watched({ sentinels, name: 'main' }, () => killed, { lease: LEASE })
    await one.runtime.ready()
    const before = add(one, 300, 20)
    await Promise.all(before.map((job) => job.stored))
    await wait(500)
    killed = now()
    await master.stop(true)
    await wait(300)
    const meanwhile = add(one, 300, 20)
    const result = {
      before: await ends(before),
      meanwhile: await ends(meanwhile),
      'all done after (ms)': since(killed),
    }
    const stopping = now()
    await one.runtime.stop({ timeout: STOP })
    row('Sentinel: the master is killed', 'redis', {
      told: one.told.join(', '),
      ...result,
      'stop (ms)': since(stopping),
    })
  } finally {
    sentinel?.kill('SIGKILL')
    await master.dispose()
    await replica.dispose()
  }
}

// ── A store that refuses ─────────────────────────────────────────────────────────────────────────────────────────────

const REFUSALS: Record<
  'redis' | 'postgres',
  readonly (readonly [string, readonly string[], readonly string[]])[]
> = {
  redis: [
    ['out of memory', ['config', 'set', 'maxmemory', '1mb'], ['config', 'set', 'maxmemory', '0']],
    ['READONLY', ['replicaof', '127.0.0.1', '1'], ['replicaof', 'no', 'one']],
    ['NOPERM', ['acl', 'setuser', 'default', '-@scripting'], ['acl', 'setuser', 'default', '+@all']],
  ],
  postgres: [
    [
      'read-only',
      ['alter system set default_transaction_read_only = on', 'select pg_reload_conf()'],
      ['alter system reset default_transaction_read_only', 'select pg_reload_conf()'],
    ],
    ['a right lost', ['alter table bullmq.job owner to postgres'], ['alter table bullmq.job owner to app']],
  ],
}

/** 3,000 jobs are added while the store refuses; then it heals, or the process is stopped first. */
async function refuse(
  [what, begin, end]: (typeof REFUSALS)['redis'][number],
  store: StoreName,
  server: StoreServer,
  url: string,
  heals: boolean,
): Promise<void> {
  let from = now()
  const one = watched(url, () => from, { prefix: `${what}${heals}`.replaceAll(/\W/g, '') })
  await one.runtime.ready()
  server.ask(...begin)
  from = now()
  const jobs = add(one, MANY)
  while (one.runtime.stats().broker?.state !== 'down') await wait(50)
  if (heals) server.ask(...end)
  const healed = heals ? { jobs: await ends(jobs), 'all done after (ms)': since(from) } : {}
  const stopping = now()
  const { lost, left } = await one.runtime.stop({ timeout: 1000 })
  const stop = { 'stop (ms)': since(stopping) }
  if (!heals) server.ask(...end)
  const stopped = { jobs: `${lost.length} named as lost, ${left.length} as left` }
  row(`${what}, ${heals ? 'heals' : 'and a stop'}`, store, {
    told: one.told.join(', '),
    ...stopped,
    ...healed,
    ...stop,
  })
}

async function refusing(store: 'redis' | 'postgres'): Promise<void> {
  await withServer(store, async (server, url) => {
    for (const trouble of REFUSALS[store]) {
      await refuse(trouble, store, server, url, true)
      await refuse(trouble, store, server, url, false)
    }
  })
}

// ── Several processes ────────────────────────────────────────────────────────────────────────────────────────────────

interface Cast {
  readonly trail: string
  readonly deeds: string
  start(deploy: 'old' | 'new', adds: boolean, env?: Readonly<Record<string, string>>): Member
  ready(member: Member): Promise<void>
}

function cast(store: string): Cast {
  const [trail, deeds] = [join(folder, `trail-${files++}`), join(folder, `deeds-${files++}`)]
  let born = 0
  return {
    ...{ trail, deeds },
    start: (deploy, adds, env = {}) =>
      new Member({ name: `p${++born}`, trail, store, lease: LEASE, stop: STOP, deploy, adds }, env, deeds),
    ready: async ({ part }) => {
      while (!read<Line>(trail).some(({ what, by }) => what === 'ready' && by === part.name)) await wait(200)
    },
  }
}

function verdict({ trail, deeds }: Cast, lease = LEASE): Record<string, unknown> {
  const { stored, runs, again, slowestStop, faults } = judge(read<Line>(trail), read<Deed>(deeds), {
    lease,
    stop: STOP,
  })
  return {
    stored,
    runs,
    again: JSON.stringify(again),
    'stop (ms)': slowestStop,
    faults: faults.join('; ') || 'none',
  }
}

/** Two processes add and run for a while, one with a wrong clock. */
async function skewed(store: StoreName, seconds: number): Promise<void> {
  await withServer(store, async (_server, url) => {
    const scene = cast(url)
    const members = [scene.start('new', true), scene.start('new', true, wrongClock(seconds))]
    await Promise.all(members.map((member) => scene.ready(member)))
    await wait(10_000)
    for (const member of members) member.enough()
    note(scene.deeds, { what: 'calm' })
    await wait(12_000)
    await Promise.all(members.map((member) => member.stop()))
    row(`one clock ${seconds} s wrong`, store, verdict(scene))
  })
}

/** A process that is told to stop as soon as it works, 25 times; nobody else makes the runs of the schedule. */
async function quickRestarts(store: StoreName | 'journal'): Promise<void> {
  await withServer(store, async (_server, url) => {
    const scene = cast(url)
    const ticks: number[] = []
    for (let count = 0; count < 25; count++) {
      const member = scene.start('new', false)
      await scene.ready(member)
      await wait(700)
      await member.stop()
      const { name } = member.part
      ticks.push(
        read<Line>(scene.trail).filter(
          ({ what, by, mark }) => by === name && what === 'begin' && mark?.startsWith('tick:'),
        ).length,
      )
    }
    row('25 quick restarts, a schedule every 400 ms', store, {
      'runs of each process': ticks.join(' '),
      'processes without a run': ticks.filter((count) => count === 0).length,
    })
  })
}

/** One of two processes stands still for 32 seconds. */
async function standstill(store: StoreName | 'journal'): Promise<void> {
  await withServer(store, async (_server, url) => {
    const scene = cast(url)
    const members = [scene.start('new', true), scene.start('new', true)] as const
    await Promise.all(members.map((member) => scene.ready(member)))
    await wait(2000)
    await members[0].still(wait(32_000))
    await wait(3000)
    for (const member of members) member.enough()
    note(scene.deeds, { what: 'calm' })
    await wait(12_000)
    await Promise.all(members.map((member) => member.stop()))
    row('a standstill of 32 s', store, verdict(scene, store === 'journal' ? 30_000 : LEASE))
  })
}

async function withServer(
  store: StoreName | 'journal',
  scene: (server: StoreServer, url: string) => Promise<void>,
): Promise<void> {
  if (store === 'journal') return scene({} as StoreServer, join(folder, `journal-${files++}.sqlite`))
  const server = await storeServer(store)
  try {
    await server.start()
    if (store === 'postgres') server.ask('create role app login', 'grant create on database postgres to app')
    await scene(server, server.url.replace('postgres@', 'app@'))
  } finally {
    await server.dispose()
  }
}

const scenes: Record<string, () => Promise<void>> = {
  sentinel: failOver,
  'refusing redis': () => refusing('redis'),
  'refusing postgres': () => refusing('postgres'),
}
for (const store of ['redis', 'postgres'] as const)
  for (const seconds of [60, -60, 3600, -3600])
    scenes[`clock ${store} ${seconds}`] = () => skewed(store, seconds)
for (const store of ['redis', 'postgres', 'journal'] as const) {
  scenes[`restarts ${store}`] = () => quickRestarts(store)
  scenes[`standstill ${store}`] = () => standstill(store)
}
const only = process.argv[2]
try {
  for (const [name, play] of Object.entries(scenes))
    if (only === undefined || name.includes(only)) await play()
} finally {
  rmSync(folder, { recursive: true })
}
const file = new URL('../../bench/results/chaos-scenes.json', import.meta.url)
if (only === undefined) writeFileSync(file, `${JSON.stringify(rows, null, 1)}\n`)
