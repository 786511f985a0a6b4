/** What threads take from the process, which they take once. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, expect, onTestFinished, test } from 'vitest'
import { sqliteBroker } from '../../src/brokers/sqlite.ts'
import { heapFlag, surroundingsOf } from '../../src/pools/surroundings.ts'
import { isoTask, startThreads } from '../kit/threads.ts'

const look = isoTask('state', 'look')

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'aftertask-surroundings-'))
  onTestFinished(() => rmSync(path, { recursive: true }))
  return path
}

/** Goes to another folder for the rest of the test. */
function goTo(path: string): void {
  const before = process.cwd()
  process.chdir(path)
  onTestFinished(() => process.chdir(before))
}

async function seenBy(runtime: ReturnType<typeof startThreads>): Promise<unknown> {
  return ((await runtime.enqueue(look).result()) as { env?: string }).env
}

function setSeen(value: string): void {
  process.env['ISO_SEEN'] = value
  onTestFinished(() => void delete process.env['ISO_SEEN'])
}

describe('the environment of threads', () => {
  test.each([
    ['that are recycled', { threads: 1, recycle: { jobs: 2 } }],
    ['of one job each', { threads: 1, isolation: 'job' }],
  ] as const)('%s is that of the moment when the runtime was made', async (_name, pool) => {
    setSeen('before')
    const runtime = startThreads([look], { pool })
    await runtime.ready()
    setSeen('after')
    const seen: unknown[] = []
    for (let job = 0; job < 4; job++) seen.push(await seenBy(runtime))
    expect(seen).toEqual(['before', 'before', 'before', 'before'])
  })

  test('lacks what was added since', async () => {
    const runtime = startThreads([look])
    setSeen('after')
    expect(await seenBy(runtime)).toBeUndefined()
  })

  test('is a copy of the one that the pool was given', async () => {
    const env = { ISO_SEEN: 'given' }
    const runtime = startThreads([look], { pool: { threads: 1, isolation: 'job', env } })
    await runtime.ready()
    env.ISO_SEEN = 'changed'
    expect([await seenBy(runtime), await seenBy(runtime)]).toEqual(['given', 'given'])
  })
})

describe('a relative path', () => {
  test('of a preload means the folder in which the runtime was made, for every thread that ever starts', async () => {
    const home = folder()
    writeFileSync(join(home, 'preload.mjs'), "process.env.ISO_SEEN = 'preloaded'")
    goTo(home)
    const execArgv = ['--import', './preload.mjs']
    const env = { PATH: process.env['PATH'] ?? '' }
    const runtime = startThreads([look], { pool: { threads: 1, isolation: 'job', execArgv, env } })
    process.chdir(folder())
    expect([await seenBy(runtime), await seenBy(runtime)]).toEqual(['preloaded', 'preloaded'])
  })

  test('of a journal means the folder in which its broker was made', async () => {
    const home = folder()
    goTo(home)
    const broker = sqliteBroker({ file: 'jobs.db' })
    process.chdir(folder())
    const runtime = startThreads([look], { broker })
    await runtime.ready()
    expect(await runtime.enqueue(look).settled).toMatchObject({ state: 'completed' })
    const other = startThreads([look], { broker: sqliteBroker({ file: join(home, 'jobs.db') }) })
    await expect(other.ready()).rejects.toMatchObject({ code: 'ERR_JOURNAL_LOCKED' })
  })
})

describe('Node options', () => {
  const from = (execArgv: string[], env: NodeJS.ProcessEnv = {}) => ({
    execArgv,
    env,
    cwd: () => '/srv/app',
  })
  const given = (execArgv: string[]) => surroundingsOf({ env: undefined, execArgv }, from([])).execArgv
  const url = pathToFileURL('/srv/app/pre.mjs').href

  test.each([
    [
      ['--import', './pre.mjs'],
      ['--import', url],
    ],
    [['--import=./pre.mjs'], [`--import=${url}`]],
    [['--loader=./pre.mjs'], [`--loader=${url}`]],
    [
      ['-r', '../pre.cjs'],
      ['-r', '/srv/pre.cjs'],
    ],
    [['--require=./pre.cjs'], ['--require=/srv/app/pre.cjs']],
    [
      ['--import', 'tsx', '--conditions=./x'],
      ['--import', 'tsx', '--conditions=./x'],
    ],
  ])('of a pool name paths from the folder of the moment: %j', (execArgv, expected) => {
    expect(given(execArgv)).toEqual(expected)
  })

  test('of the process are left to be inherited when no path in them is relative', () => {
    const { execArgv, env } = surroundingsOf(
      {},
      from(['--expose-gc', '--import', 'tsx'], { NODE_OPTIONS: '--import tsx' }),
    )
    expect([execArgv, env]).toEqual([undefined, undefined])
  })

  test('of the process come along without those that threads refuse when one has a relative path', () => {
    const { execArgv } = surroundingsOf({}, from(['--expose-gc', '--import', './pre.mjs']))
    expect(execArgv).toEqual(['--import', url])
  })

  test('in NODE_OPTIONS name paths from there as well, which handlers do not see', () => {
    const { env, handlerEnv } = surroundingsOf(
      {},
      from([], { NODE_OPTIONS: '--import ./pre.mjs --no-warnings' }),
    )
    expect(env?.['NODE_OPTIONS']).toBe(`--import ${url} --no-warnings`)
    expect(handlerEnv?.['NODE_OPTIONS']).toBe('--import ./pre.mjs --no-warnings')
  })

  test.each([
    [['--max-old-space-size=1000'], {}],
    [[], { NODE_OPTIONS: '--no-warnings --max_old_space_size=1000' }],
  ])('with a heap limit for the whole process are noticed: %j %j', (execArgv, env) => {
    expect(heapFlag({ execArgv, env })).toMatch(/^--max.old.space.size=1000$/)
    expect(heapFlag({ execArgv: ['--no-warnings'], env: {} })).toBeUndefined()
  })
})
