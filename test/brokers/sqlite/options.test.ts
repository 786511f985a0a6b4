/** What `sqliteBroker` takes, and what it says of the rest. */
import { existsSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { pathToFileURL } from 'node:url'
import { runInNewContext } from 'node:vm'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { memoryBroker } from '../../../src/brokers/memory.ts'
import { sqliteBroker } from '../../../src/brokers/sqlite.ts'
import { createRuntime } from '../../../src/index.ts'
import { echo, journalFile, journalRuntime } from './journal.fixture.ts'

// Each starts a runtime or three, on a machine that may be busy.
vi.setConfig({ testTimeout: 60_000 })

describe('the file of a journal', () => {
  test('may be a file: URL, of whatever realm', async () => {
    for (const given of [
      (url: URL) => url,
      (url: URL) => url.href as never,
      ({ href }: URL) => runInNewContext('({ href })', { href }),
    ]) {
      const file = journalFile()
      const runtime = journalRuntime(file, { broker: { file: given(pathToFileURL(file)) } })
      await runtime.ready()
      await runtime.stop()
      expect(existsSync(file)).toBe(true)
    }
  })

  test('may have any name that a file may have', async () => {
    const folder = dirname(journalFile())
    for (const name of ['a b#c.db', '100%.db', 'what?.db', 'mode=memory']) {
      const file = join(folder, name)
      await using runtime = journalRuntime(file)
      await runtime.ready()
      expect(existsSync(file)).toBe(true)
    }
  })

  test('starts at the working directory of the call', async () => {
    const file = journalFile()
    const before = process.cwd()
    process.chdir(dirname(file))
    onTestFinished(() => process.chdir(before))
    const broker = sqliteBroker({ file: relative(process.cwd(), file), durability: 'process' })
    process.chdir(before)
    await using runtime = createRuntime({ tasks: [echo], broker, pool: { threads: 1 }, log: false })
    await runtime.ready()
    expect(existsSync(file)).toBe(true)
  })

  test.each([':memory:', 'file::memory:', '/tmp/:memory:'])(
    'is not in memory (%s), where nothing lasts',
    (file) => {
      expect(() => sqliteBroker({ file })).toThrow(
        expect.objectContaining({
          code: 'ERR_OPTIONS_INVALID',
          message: expect.stringContaining('a journal in memory would survive nothing. Leave broker out'),
        }),
      )
    },
  )

  test.each<unknown>([
    '',
    'a\0b',
    undefined,
    null,
    3,
    {},
    new URL('http://127.0.0.1/jobs.db'),
    'file:///tmp/jobs.db?mode=memory',
    'file:///tmp/a%2Fb.db',
    Buffer.from('jobs.db'),
  ])('is refused as %j, with what is expected', (file) => {
    expect(() => sqliteBroker({ file: file as string })).toThrow(
      expect.objectContaining({ code: 'ERR_OPTIONS_INVALID', message: expect.stringContaining('expected') }),
    )
  })
})

describe('a broker', () => {
  test.each([
    ['sqliteBroker', () => sqliteBroker({ file: journalFile(), durability: 'process' })],
    ['memoryBroker', () => memoryBroker()],
  ] as const)(
    'made by %s serves one runtime, and a second is refused as a mistake of the author',
    async (_name, make) => {
      const broker = make()
      const options = { tasks: [echo], broker, pool: { threads: 1 }, log: false } as const
      await using runtime = createRuntime(options)
      await runtime.ready()
      expect(() => createRuntime(options)).toThrow(
        expect.objectContaining({ code: 'ERR_OPTIONS_INVALID', path: 'broker' }),
      )
      expect(await runtime.enqueue(echo, 1).result()).toBe(1)
    },
  )
})

test('a list of the jobs of a task that nobody knows writes nothing', async () => {
  const file = journalFile()
  await using runtime = journalRuntime(file)
  await runtime.enqueue(echo, 1).result()
  const other = new DatabaseSync(file)
  onTestFinished(() => other.close())
  const version = other.prepare('PRAGMA data_version')
  const before = version.get()
  await runtime.jobs({ task: 'typo' }).catch(() => {})
  expect(version.get()).toEqual(before)
  expect(other.prepare("SELECT count(*) AS names FROM names WHERE name = 'typo'").get()).toEqual({ names: 0 })
})
