/** What docs/guides/operating.md says of users, certificates, Sentinel and pgbouncer, on real servers. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type BullmqOptions, bullmqBroker } from '../../../src/brokers/bullmq.ts'
import { createRuntime } from '../../../src/engine/runtime.ts'
import { freePort } from '../../kit/free-port.ts'
import { type StoreServer, storeServer, whyNot } from '../../kit/store-servers.ts'
import { tempFolder } from '../../kit/temp-folder.ts'
import { trail } from './fixture/tasks.ts'
import { overStore, testAt } from './stores.ts'

const { newFile, path } = tempFolder('operating')
const PGBOUNCER = '/usr/sbin/pgbouncer'
const GUIDE = readFileSync(new URL('../../../docs/guides/operating.md', import.meta.url), 'utf8')

/** Adds, delays, retries, cancels, lists and counts jobs, by key and by schedule, as most programs do. */
async function mainPath(options: BullmqOptions): Promise<void> {
  const broker = bullmqBroker({ lease: 4000, ...options })
  const runtime = createRuntime({ tasks: [trail], broker, log: false, pool: { threads: 1 } })
  try {
    await runtime.ready()
    const payload = () => ({ file: newFile(), ms: 1 })
    runtime.schedule('nightly', trail, payload(), { cron: '0 3 * * *' })
    const jobs = [
      runtime.enqueue(trail, payload()),
      runtime.enqueue(trail, payload(), { delay: 20 }),
      runtime.enqueue(trail, { ...payload(), fails: 1 }),
      runtime.enqueue(trail, payload(), { key: 'one' }),
      runtime.enqueue(trail, payload(), { key: 'one', priority: 3, unique: 'the one' }),
    ]
    const late = runtime.enqueue(trail, payload(), { delay: 3_600_000 })
    await late.stored
    expect(await runtime.cancel(late.id)).toBe(true)
    const ends = await Promise.all([...jobs, late].map((job) => job.settled))
    expect(ends.map(({ state }) => state)).toEqual([...jobs.map(() => 'completed'), 'cancelled'])
    expect(await runtime.counts()).toMatchObject({ completed: 5, cancelled: 1 })
    expect((await runtime.jobs()).jobs).toHaveLength(6)
    expect(await runtime.remove(late.id)).toBe(true)
    expect(await runtime.unschedule('nightly')).toBe(true)
    expect(runtime.stats().broker?.state).toBe('up')
  } finally {
    await runtime.stop()
  }
}

/** The lines of a code block of the guide that has a text in it. */
function shown(text: string): string {
  const block = [...GUIDE.matchAll(/```text\n(.*?)```/gs)].find(([, code]) => code?.includes(text))
  return block?.[1]?.trim() ?? expect.unreachable(`the guide shows no "${text}"`)
}

overStore('redis', (place) => {
  testAt(
    place,
    'a user with the rights that the guide lists does all that a program needs',
    async ({ server }) => {
      server.ask(...shown('ACL SETUSER').split(/\s+/))
      const { host } = new URL(server.url)
      await mainPath({ connection: `redis://app:secret@${host}` })
    },
  )
})

overStore('postgres', (place) => {
  testAt(
    place,
    'a role with the rights that the guide lists does all that a program needs',
    async ({ server }) => {
      server.ask(...shown('CREATE ROLE').split('\n'))
      await mainPath({
        connection: server.url.replace('postgres@', 'app:secret@').replace(/postgres$/, 'jobs'),
      })
    },
  )

  describe.skipIf(process.env['CI'] === undefined && !existsSync(PGBOUNCER))('behind pgbouncer', () => {
    testAt(place, 'that pools by session, it does all that a program needs', ({ server }) =>
      behindPgbouncer('session', server, (connection) => mainPath({ connection, prefix: 'pooled' })),
    )

    testAt(place, 'that pools by transaction, ready() says why that is not enough', ({ server }) =>
      behindPgbouncer('transaction', server, async (connection) => {
        const broker = bullmqBroker({ connection })
        const runtime = createRuntime({ tasks: [trail], broker, log: false, pool: { threads: 1 } })
        await expect(runtime.ready()).rejects.toMatchObject({
          reason: 'unsupported',
          message: expect.stringContaining('let pgbouncer pool by session'),
        })
        await runtime.stop({ timeout: 0 })
      }),
    )
  })
})

/** Runs pgbouncer before a server while something is done over it. */
async function behindPgbouncer(
  mode: 'session' | 'transaction',
  { url }: StoreServer,
  act: (connection: string) => Promise<void>,
): Promise<void> {
  const port = await freePort()
  const { host, hostname, port: serverPort } = new URL(url)
  const [config, users] = [path(`${mode}.ini`), path('users.txt')]
  writeFileSync(users, '"postgres" ""\n')
  const lines = [
    ...['[databases]', `* = host=${hostname} port=${serverPort}`, '[pgbouncer]', 'listen_addr = 127.0.0.1'],
    ...[`listen_port = ${port}`, 'auth_type = trust', `auth_file = ${users}`, `pool_mode = ${mode}`],
    'unix_socket_dir =',
  ]
  writeFileSync(config, `${lines.join('\n')}\n`)
  chmodSync(dirname(config), 0o755)
  // It refuses to run as root.
  const uid = Number(execFileSync('id', ['-u', 'postgres'], { encoding: 'utf8' }))
  const child = spawn(PGBOUNCER, ['-q', config], {
    stdio: 'ignore',
    ...(process.getuid?.() === 0 && { uid }),
  })
  try {
    await act(url.replace(host, `127.0.0.1:${port}`))
  } finally {
    await end(child)
  }
}

const noRedis = whyNot('redis')
describe.skipIf(noRedis !== undefined)('a Redis', () => {
  const servers: StoreServer[] = []
  let sentinel: ChildProcess | undefined
  let sentinelPort = 0
  beforeAll(async () => {
    const key = path('key.pem')
    const cert = path('cert.pem')
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1']
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
    execFileSync('openssl', ['req', '-x509', ...curve, ...subject, '-keyout', key, '-out', cert], {
      stdio: 'pipe',
    })
    const tlsPort = String(await freePort())
    const tls = [
      '--tls-port',
      tlsPort,
      '--tls-cert-file',
      cert,
      '--tls-key-file',
      key,
      '--tls-auth-clients',
      'no',
    ]
    const server = await storeServer('redis', tls)
    servers.push(server)
    await server.start()
    sentinelPort = await freePort()
    const file = path('sentinel.conf')
    const { port } = new URL(server.url)
    writeFileSync(file, `port ${sentinelPort}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 ${port} 1\n`)
    sentinel = spawn('redis-server', [file, '--sentinel'], { stdio: ['ignore', 'pipe', 'inherit'] })
    await said(sentinel, '+monitor')
    Object.assign(server, { tlsPort })
  })
  afterAll(async () => {
    await end(sentinel)
    await Promise.all(servers.map((server) => server.dispose()))
  })

  test('is reached over TLS with the certificate that has signed it, and ready() says when that is missing', async () => {
    const url = `rediss://127.0.0.1:${Reflect.get(servers[0] as object, 'tlsPort')}`
    const broker = bullmqBroker({ connection: url })
    const runtime = createRuntime({ tasks: [trail], broker, log: false, pool: { threads: 1 } })
    await expect(runtime.ready()).rejects.toMatchObject({ reason: 'certificate' })
    await runtime.stop({ timeout: 0 })
    const { hostname: host, port } = new URL(url)
    const tls = { ca: readFileSync(path('cert.pem')) }
    await mainPath({ connection: { host, port: Number(port), tls }, prefix: 'tls' })
  })

  test('is found by its Sentinels', async () => {
    const sentinels = [{ host: '127.0.0.1', port: sentinelPort }]
    await mainPath({ connection: { sentinels, name: 'main' }, prefix: 'watched' })
  })
})

async function end(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill('SIGKILL')
  await gone
}

/** Resolves once a program has printed a text. */
function said(child: ChildProcess, text: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  let printed = ''
  child.stdout?.on('data', (chunk: Buffer) => {
    printed += chunk.toString()
    if (printed.includes(text)) resolve()
  })
  child.once('exit', () => reject(new Error(`It ended before it printed "${text}":\n${printed}`)))
  return promise
}
