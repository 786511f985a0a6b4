/** `aftertask work` as an orchestrator sees it. */
import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { bullmqBroker } from '../../src/brokers/bullmq.ts'
import type { Job } from '../../src/engine/job.ts'
import { createRuntime, type Runtime } from '../../src/engine/runtime.ts'
import { blockingPipe } from '../kit/blocking-pipe.ts'
import { type StoreServer, storeServer, whyNot } from '../kit/store-servers.ts'
import { startWorker, type WorkerProcess } from '../kit/worker-process.ts'
import { light, others } from './fixture/tasks.ts'

const tasks = new URL('./fixture/tasks.ts', import.meta.url)
const broken = fileURLToPath(new URL('./fixture/broken.ts', import.meta.url))
const program = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
const reason = whyNot('redis')

describe.skipIf(reason !== undefined)(`aftertask work${reason === undefined ? '' : ` (${reason})`}`, () => {
  let server: StoreServer
  let folder: string
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'aftertask-work-'))
    server = await storeServer('redis')
    await server.start()
  })
  afterAll(async () => {
    await server.dispose()
    rmSync(folder, { recursive: true })
  })

  /** A place in the store that no other test has. */
  function here(): {
    producer: Runtime<typeof light | (typeof others)[number]>
    worker: (...args: string[]) => Promise<WorkerProcess>
    gate: string
  } {
    const prefix = `t${randomUUID().slice(0, 8)}`
    const producer = createRuntime({
      tasks: [light, ...others],
      pools: { heavy: {} },
      log: false,
      broker: bullmqBroker({ connection: server.url, prefix, role: 'producer' }),
    })
    onTestFinished(() => void producer.stop({ timeout: 0 }))
    const worker = async (...args: string[]): Promise<WorkerProcess> => {
      const started = await startWorker(tasks, '--store', server.url, '--prefix', prefix, ...args)
      onTestFinished(() => void started.child.kill('SIGKILL'))
      return started
    }
    return { producer, worker, gate: join(folder, randomUUID()) }
  }

  async function begun(producer: Runtime, job: Job): Promise<void> {
    await job.stored
    while ((await producer.job(job.id))?.progress !== 'begun');
  }

  test('is healthy and ready while the store is there, and only healthy while it is not', async () => {
    const worker = await here().worker('--port', '0', '--host', '127.0.0.1')
    const { ask } = await endpoints(worker)
    expect(await ask('/health')).toEqual([200, expect.objectContaining({ phase: 'running', pending: 0 })])
    expect(await ask('/ready')).toEqual([200, { ready: true }])
    expect(await ask('/')).toEqual([404, { error: 'Ask for /health or /ready.' }])
    await server.stop()
    await worker.told('broker:down')
    expect(await ask('/health')).toEqual([
      200,
      expect.objectContaining({ broker: expect.objectContaining({ state: 'down' }) }),
    ])
    expect(await ask('/ready')).toEqual([503, { ready: false }])
    await server.start()
    await worker.told('broker:up')
    expect(await ask('/ready')).toEqual([200, { ready: true }])
    expect(await worker.end('SIGTERM')).toBe(0)
    expect(worker.lines.map(({ event }) => event)).toEqual([
      'ready',
      'broker:down',
      'broker:up',
      'stopping',
      'stopped',
    ])
  })

  test('at SIGTERM ends what it runs, fetches nothing anew, and is not ready meanwhile', async () => {
    const { producer, worker: start, gate } = here()
    const worker = await start('--port', '0', '--host', '127.0.0.1', '--concurrency', '1')
    const { ask } = await endpoints(worker)
    const running = producer.enqueue(light, { gate })
    await begun(producer, running)
    const next = producer.enqueue(light, { gate })
    await next.stored
    worker.child.kill('SIGTERM')
    await worker.told('stopping')
    expect((await ask('/ready'))[0]).toBe(503)
    expect((await ask('/health'))[0]).toBe(200)
    writeFileSync(gate, '')
    expect(await running.result()).toBe(worker.child.pid)
    expect((await worker.told('stopped'))['completed']).toBe(1)
    expect(await producer.job(next.id)).toMatchObject({ state: 'available', attempts: 0 })
  })

  test('ends at once, with 1, when it is told a second time', async () => {
    const { producer, worker: start, gate } = here()
    const worker = await start('--grace', '3600000')
    await begun(producer, producer.enqueue(light, { gate }))
    worker.child.kill('SIGTERM')
    await worker.told('stopping')
    // Whatever comes within half a second is the same request: somebody who is in a hurry asks again and again.
    const again = setInterval(() => worker.child.kill('SIGTERM'), 50)
    onTestFinished(() => clearInterval(again))
    await worker.told('stopping at once')
    clearInterval(again)
    expect(await worker.gone).toBe(1)
  })

  test('takes several signals of one Ctrl+C for one request', async () => {
    const { producer, worker: start, gate } = here()
    const worker = await start()
    const running = producer.enqueue(light, { gate })
    await begun(producer, running)
    for (const signal of ['SIGINT', 'SIGINT', 'SIGTERM'] as const) worker.child.kill(signal)
    await worker.told('stopping')
    writeFileSync(gate, '')
    expect(await running.result()).toBe(worker.child.pid)
    expect(await worker.gone).toBe(0)
    expect(worker.lines.filter(({ event }) => String(event).startsWith('stopp'))).toHaveLength(2)
  })

  test('is gone after its grace also when a handler sits in native code', async () => {
    const { producer, worker: start } = here()
    const pipe = blockingPipe(join(folder, randomUUID()))
    const worker = await start('--grace', '50')
    await begun(producer, producer.enqueue('stuck', { gate: pipe }))
    // process.exit() would wait for the thread, and so for ever.
    expect(await worker.end('SIGTERM')).toBe(0)
    expect(worker.lines.at(-1)).toMatchObject({ event: 'stopped', lost: 0, left: 1 })
  })

  test('runs the jobs of the pools that --pool names, and no others', async () => {
    const { producer, worker: start, gate } = here()
    writeFileSync(gate, '')
    const heavy = producer.enqueue('heavy', { gate })
    const other = producer.enqueue(light, { gate })
    await Promise.all([heavy.stored, other.stored])
    const worker = await start('--pool', 'heavy')
    expect(await heavy.result()).toBe(worker.child.pid)
    expect((await producer.job(other.id))?.state).toBe('available')
    const rest = await start('--pool', 'default')
    expect(await other.result()).toBe(rest.child.pid)
  })

  test('writes what handlers log, and its other news, as lines of JSON with a time and a level', async () => {
    const { producer, worker: start, gate } = here()
    writeFileSync(gate, '')
    const worker = await start()
    const job = producer.enqueue(light, { gate })
    expect(await worker.told('job:log')).toEqual({
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      level: 'info',
      event: 'job:log',
      job: expect.objectContaining({ id: job.id, name: 'light', attempt: 1 }),
      message: 'waits',
      data: { gate },
    })
  })

  test('ends with 2 when a handler cannot be loaded, and says which', async () => {
    const { code, output } = await run(['work', broken, '--store', server.url, '--port', '0'])
    expect(output).toContain('nowhere.ts')
    expect(code).toBe(2)
  })

  test('ends with 2 when its port is taken', async () => {
    const taken = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => taken.once('listening', resolve))
    onTestFinished(() => void taken.close())
    const { port } = taken.address() as AddressInfo
    const args = ['--port', String(port), '--host', '127.0.0.1']
    const { code, output } = await run(['work', 'tasks.ts', '--store', server.url, ...args])
    expect(output).toContain(`--port ${port} of 127.0.0.1 cannot be opened`)
    expect(code).toBe(2)
  })
})

describe.concurrent('aftertask', () => {
  const store = ['--store', 'redis://127.0.0.1:1']
  test.each([
    [['work'], 'The file that exports the tasks is missing.'],
    [['work', './tasks.js'], '--store is missing, and AFTERTASK_STORE is not set.'],
    [
      ['work', './tasks.js', '--store', 'mysql://me:secret@x'],
      '--store mysql://***@x: expected a URL that starts with redis://',
    ],
    [['size', '--rate', '1e9', '--ms', '1e9'], 'that takes 1.4e+15 threads; expected at most 1000000'],
    [['work', 'nowhere.ts', ...store], 'give the one that exports the tasks'],
    [['work', 'handlers/wait.ts', ...store], 'exports no task: export what defineTask returns'],
    [['work', 'tasks.ts', 'broken.ts', ...store], 'One file of tasks, and not broken.ts as well'],
    [
      ['work', 'tasks.ts', ...store, '--pool', 'io'],
      '--pool io: no task names it. There are: default, heavy.',
    ],
    [
      ['work', 'tasks.ts', ...store, '--concurrency', '0'],
      '--concurrency 0: expected a whole number, 1 or more',
    ],
    [['work', 'tasks.ts', ...store, '--grace', 'long'], '--grace long: expected a whole number, 0 or more'],
    [
      ['work', 'tasks.ts', ...store, '--threads', '2'],
      "Unknown option '--threads'.\n\naftertask work <tasks file>",
    ],
    [['size', '--rate', '1'], '--ms must be a number above 0'],
    [['size', '--speed', '1'], "Unknown option '--speed'.\n\naftertask size --rate"],
    [['wrok'], 'There is no command "wrok"'],
  ])('says what is wrong with %j, and exits with 2', async (args, message) => {
    const { code, output } = await run(args)
    expect(output).toContain(message)
    expect(code).toBe(2)
  })

  test.each([['--help'], ['work', '--help'], ['size', '-h']])(
    'says how to call it when asked: %s %s',
    async (...args) => {
      const { code, output } = await run(args)
      expect(output).toMatch(/^aftertask (?:<command>|work|size)/)
      expect(code).toBe(0)
    },
  )
})

/** Asks a worker's own server: the status, and what it says. */
async function endpoints(
  worker: WorkerProcess,
): Promise<{ ask: (path: string) => Promise<[number, unknown]> }> {
  const { port } = await worker.told('ready')
  return {
    ask: async (path) => {
      const response = await fetch(`http://127.0.0.1:${port}${path}`)
      return [response.status, await response.json()]
    },
  }
}

function run(args: readonly string[]): Promise<{ code: unknown; output: string }> {
  const cwd = fileURLToPath(new URL('.', tasks))
  return new Promise((resolve) => {
    execFile(process.execPath, [program, ...args], { cwd }, (error, stdout, stderr) => {
      resolve({ code: error?.code ?? 0, output: stdout + stderr })
    })
  })
}
