/** `aftertask work` as an orchestrator sees it. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { type StoreServer, storeServer, whyNot } from '../kit/store-servers.ts'
import { startWorker } from '../kit/worker-process.ts'

const tasks = new URL('../brokers/bullmq/fixture/tasks.ts', import.meta.url)
const program = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
const reason = whyNot('redis')

describe.skipIf(reason !== undefined)(`aftertask work${reason === undefined ? '' : ` (${reason})`}`, () => {
  let server: StoreServer
  beforeAll(async () => {
    server = await storeServer('redis')
    await server.start()
  })
  afterAll(() => server.dispose())

  test('is healthy and ready while the store is there, and only healthy while it is not', async () => {
    const worker = await startWorker(tasks, '--store', server.url, '--port', '0', '--host', '127.0.0.1')
    onTestFinished(() => void worker.child.kill('SIGKILL'))
    const { port } = await worker.told('ready')
    const status = async (path: string): Promise<number> =>
      (await fetch(`http://127.0.0.1:${port}${path}`)).status
    expect([await status('/health'), await status('/ready'), await status('/')]).toEqual([200, 200, 404])
    await server.stop()
    await worker.told('broker:down')
    expect([await status('/health'), await status('/ready')]).toEqual([200, 503])
    await server.start()
    await worker.told('broker:up')
    expect(await status('/ready')).toBe(200)
    expect(await worker.end('SIGTERM')).toBe(0)
    expect(worker.lines.map(({ event }) => event)).toEqual([
      'ready',
      'broker:down',
      'broker:up',
      'stopping',
      'stopped',
    ])
  })
})

describe('aftertask', () => {
  test.each([
    [['work'], 'What is to be run, and from where?'],
    [['work', 'tasks.ts', '--store', 'mysql://here'], 'starts with none of redis://'],
    [['size', '--rate', '1'], '--ms must be a number above 0'],
  ])('says what is wrong with %j, and exits with 2', async (args, message) => {
    const { code, output } = await run(args)
    expect(output).toContain(message)
    expect(code).toBe(2)
  })
})

function run(args: readonly string[]): Promise<{ code: unknown; output: string }> {
  const cwd = fileURLToPath(new URL('.', tasks))
  return new Promise((resolve) => {
    execFile(process.execPath, [program, ...args], { cwd }, (error, stdout, stderr) => {
      resolve({ code: error?.code ?? 0, output: stdout + stderr })
    })
  })
}
