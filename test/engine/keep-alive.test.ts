import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, test } from 'vitest'
import { tempFolder } from '../kit/temp-folder.ts'

const child = fileURLToPath(new URL('../fixtures/stop-child.ts', import.meta.url))
const run = promisify(execFile)
const folder = tempFolder('keep-alive')

/** What a process that does this writes, until it ends by itself. */
async function outputOf(what: string, ...more: readonly string[]): Promise<string[]> {
  const { stdout } = await run(process.execPath, [child, what, ...more], { timeout: 170_000 })
  return stdout
    .trim()
    .split('\n')
    .filter((line) => line !== 'words of a handler')
}

describe.concurrent('a process', () => {
  test('is not kept alive by a runtime that has nothing to do', async ({ expect: local }) => {
    local(await outputOf('idle')).toEqual(['ready'])
  })

  test('is not kept alive by a runtime whose jobs are over', async ({ expect: local }) => {
    local(await outputOf('idle after work')).toContain('result')
  })

  test('is kept alive by a job that is running', async ({ expect: local }) => {
    local(await outputOf('unfinished')).toContain('completed')
  })

  test('is kept alive by a job that is scheduled', async ({ expect: local }) => {
    local(await outputOf('scheduled')).toContain('completed')
  })

  test('is kept alive by a schedule alone, until it is taken away', async ({ expect: local }) => {
    local(await outputOf('a schedule alone')).toEqual(['run 1', 'run 2'])
  })

  test('is kept alive by a cron pattern alone, until the runtime stops', async ({ expect: local }) => {
    local(await outputOf('a cron pattern alone')).toEqual(['run', 'stopped'])
  })

  test('is not kept alive by a schedule that has no further run', async ({ expect: local }) => {
    local(await outputOf('a schedule that is over')).toEqual(['set'])
  })

  test('is not kept alive by a schedule that only the journal keeps', async ({ expect: local }) => {
    const file = folder.newFile()
    local(await outputOf('a schedule in a journal', file)).toEqual(['set'])
    local(await outputOf('a journal with a schedule', file)).toEqual(['kept beat'])
  })

  test('is kept alive by a stop under way until its report is there', async ({ expect: local }) => {
    local(await outputOf('stopping')).toEqual(['lost 1'])
  })

  test('hears all that handlers wrote to stdout before a stop resolves', async ({ expect: local }) => {
    const lines = await outputOf('last words')
    local(lines).toHaveLength(2001)
    local(lines.slice(-2)).toEqual(['line 2000', 'stopped'])
  })

  test('that says "await using" stops the runtime at the end of the scope, its jobs done', async ({
    expect: local,
  }) => {
    local(await outputOf('using')).toContain('completed')
  })
})
