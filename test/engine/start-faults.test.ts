/** Threads that cannot be started: told once, and the process goes on. */

import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { rolldown } from 'rolldown'
import { describe, expect, onTestFinished, test } from 'vitest'
import { collectEvents, isoTask, startThreads } from '../kit/threads.ts'

const ok = isoTask('misbehave', 'ok')

describe('a pool whose threads Node refuses to make', () => {
  test.each([
    ['for a flag', { execArgv: ['--expose-gc'] }, '--expose-gc'],
    ['for NODE_OPTIONS', { env: { NODE_OPTIONS: '--not-allowed' } }, '--not-allowed'],
  ])('%s has ready() reject with why, tries no further one, and stops', async (_name, options, why) => {
    const runtime = startThreads([ok], { pool: { threads: 2, ...options } })
    const exits = collectEvents(runtime, 'thread:exited')
    await expect(runtime.ready()).rejects.toMatchObject({
      code: 'ERR_THREAD_START',
      message: expect.stringContaining(why),
      cause: { code: 'ERR_WORKER_INVALID_EXEC_ARGV' },
    })
    const job = runtime.enqueue(ok, 1)
    await new Promise((resolve) => setImmediate(resolve))
    expect(exits.map(({ restartIn }) => restartIn)).toEqual([
      Number.POSITIVE_INFINITY,
      Number.POSITIVE_INFINITY,
    ])
    // A rejection that nobody hears would fail this test as a whole.
    expect(await runtime.stop({ timeout: 0 })).toMatchObject({ lost: [{ id: job.id }] })
  })

  test('leaves the other pools of the runtime alone', async () => {
    const other = isoTask('misbehave', 'spinFor', { pool: 'other' })
    const runtime = startThreads([ok, other], {
      pool: { threads: 1, execArgv: ['--expose-gc'] },
      pools: { other: { threads: 1 } },
    })
    await expect(runtime.ready()).rejects.toMatchObject({ code: 'ERR_THREAD_START', pool: 'default' })
    expect(await runtime.enqueue(other, { milliseconds: 0 }).settled).toMatchObject({ state: 'completed' })
  })
})

describe('aftertask in one file with the server', () => {
  /** What a program says that a bundler has put together. */
  async function outputOf(program: string, format: 'es' | 'cjs'): Promise<string> {
    const folder = mkdtempSync(join(tmpdir(), 'aftertask-bundled-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const bundle = await rolldown({
      input: 'program',
      platform: 'node',
      logLevel: 'silent',
      plugins: [
        {
          name: 'program',
          resolveId: (id) => (id === 'program' ? id : null),
          load: (id) => (id === 'program' ? program : null),
        },
      ],
    })
    const file = join(folder, format === 'es' ? 'server.mjs' : 'server.cjs')
    await bundle.write({ file, format, codeSplitting: false })
    await bundle.close()
    return spawnSync(process.execPath, [file], { encoding: 'utf8' }).stderr
  }

  const source = (path: string): string =>
    JSON.stringify(new URL(`../../src/${path}`, import.meta.url).pathname)
  const memory = `import { createRuntime, defineTask } from ${source('index.ts')}
    const ok = defineTask({ name: 'ok', handler: new URL('file:///nowhere.js') })
    createRuntime({ tasks: [ok] })`
  const journal = `import { sqliteBroker } from ${source('brokers/sqlite.ts')}
    sqliteBroker({ file: 'jobs.db' })`

  test.each([
    ['createRuntime', 'es', memory],
    ['createRuntime', 'cjs', memory],
    ['sqliteBroker', 'es', journal],
  ] as const)('is told so by %s, with what to do (%s)', async (_name, format, program) => {
    const output = await outputOf(program, format)
    expect(output).toContain('ERR_BUNDLED')
    expect(output).toMatch(/aftertask was bundled \(.*\)\. Mark aftertask and piscina as external/)
  })
})
