/** A store that is restored from a copy, as the guide of deployment says, goes on with the jobs and schedules that it had. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { bullmqBroker } from '../../../src/brokers/bullmq.ts'
import { createRuntime } from '../../../src/engine/runtime.ts'
import { type StoreServer, storeServer, whyNot } from '../../kit/store-servers.ts'
import { trail } from './fixture/tasks.ts'

vi.setConfig({ testTimeout: 60_000 })

const PAYLOAD = { file: 'none', ms: 0 }

function runtimeOver(server: StoreServer) {
  const runtime = createRuntime({
    tasks: [trail],
    log: false,
    pool: { threads: 1 },
    broker: bullmqBroker({ connection: server.url, prefix: 'backup', lease: 4000 }),
  })
  onTestFinished(async () => void (await runtime.stop({ timeout: 0 })))
  return runtime
}

async function started(store: 'redis' | 'postgres', options: readonly string[] = []): Promise<StoreServer> {
  const server = await storeServer(store, options)
  onTestFinished(() => server.dispose())
  await server.start()
  return server
}

/** Adds a job and a schedule, has them copied, and adds what the copy lacks; returns the id of the first job. */
async function copied(server: StoreServer, copy: () => void): Promise<string> {
  const runtime = runtimeOver(server)
  runtime.pause()
  await runtime.ready()
  runtime.schedule('hourly', trail, PAYLOAD, { every: 3_600_000 })
  const before = await stored(runtime)
  expect(await runtime.schedules()).toHaveLength(1)
  copy()
  await stored(runtime)
  await runtime.stop({ timeout: 0 })
  return before
}

async function stored(runtime: ReturnType<typeof runtimeOver>): Promise<string> {
  const job = runtime.enqueue(trail, PAYLOAD, { delay: 3_600_000 })
  await job.stored
  return job.id
}

/** What is in a store that was restored. */
async function expectRestored(server: StoreServer, id: string): Promise<void> {
  const runtime = runtimeOver(server)
  await runtime.ready()
  expect((await runtime.jobs()).jobs.map((job) => job.id)).toEqual([id])
  expect((await runtime.schedules()).map((schedule) => schedule.id)).toEqual(['hourly'])
  expect(await runtime.cancel(id)).toBe(true)
}

test.skipIf(whyNot('redis') !== undefined)(
  'a Redis that starts with the snapshot of another has the jobs and schedules of that time',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'aftertask-backup-'))
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
    const server = await started('redis')
    const id = await copied(server, () => server.ask('--rdb', join(folder, 'jobs.rdb')))
    const snapshot = ['--dir', folder, '--dbfilename', 'jobs.rdb', '--appendonly', 'no']
    const restored = await started('redis', snapshot)
    await expectRestored(restored, id)
    expect(restored.ask('config', 'set', 'appendonly', 'yes').trim()).toBe('OK')
  },
)

test.skipIf(whyNot('postgres') !== undefined)(
  'a PostgreSQL into which a dump of both schemas is read has the jobs and schedules of that time',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'aftertask-backup-'))
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
    const server = await started('postgres')
    const dump = join(folder, 'jobs.dump')
    const schemas = ['--schema=bullmq', '--schema=aftertask']
    const id = await copied(server, () =>
      tool('pg_dump', '--format=custom', ...schemas, `--file=${dump}`, server.url),
    )
    server.ask('DROP SCHEMA bullmq CASCADE', 'DROP SCHEMA aftertask CASCADE')
    tool('pg_restore', `--dbname=${server.url}`, dump)
    server.ask('ANALYZE')
    await expectRestored(server, id)
  },
)

function tool(name: string, ...args: string[]): void {
  const versions = '/usr/lib/postgresql'
  const [version = ''] = readdirSync(versions).toReversed()
  execFileSync(join(versions, version, 'bin', name), args, { stdio: 'pipe' })
}
