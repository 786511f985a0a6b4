import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { Worker } from 'node:worker_threads'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type LeakWatch, watchLeaks } from './leaks.ts'

const endless = 'setInterval(() => {}, 1000)'

function watched(): LeakWatch {
  const watch = watchLeaks(() => 'by this test')
  onTestFinished(async () => {
    watch.stop()
    await watch.end()
  })
  return watch
}

describe('the leak guard', () => {
  test('names a thread that is alive, also an unref’d one, and who made it', async () => {
    const watch = watched()
    new Worker(endless, { eval: true }).unref()
    const leaks = await watch.leaks(0)
    expect(leaks).toEqual([
      expect.stringMatching(/^worker thread \d+, made by this test\n.*leak-guard\.test/s),
    ])
  })

  test('waits for a thread that is about to exit', async () => {
    const watch = watched()
    const worker = new Worker(endless, { eval: true })
    await once(worker, 'online')
    void worker.terminate()
    expect(await watch.leaks(5000)).toEqual([])
  })

  test('names a server that listens, until it is closed', async () => {
    const watch = watched()
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    expect(await watch.leaks(0)).toEqual([expect.stringMatching(/^server on port \d+, made by this test/)])
    server.close()
    expect(await watch.leaks(0)).toEqual([])
  })

  test('ends what leaked', async () => {
    const watch = watched()
    new Worker(endless, { eval: true }).unref()
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    await watch.end()
    expect(await watch.leaks(0)).toEqual([])
  })

  test('fails a test file that leaks, and lists what it left', async () => {
    const args = ['node_modules/vitest/vitest.mjs', 'run', '--dir', 'test/house/fixtures', '--no-color']
    const { code, output } = await run([...args, '--config', 'test/house/fixtures/vitest.config.ts'])
    expect(output).toContain('This file leaks:')
    expect(output).toMatch(/worker thread \d+, made in "leaves a thread"/)
    expect(output).toMatch(/server on port \d+, made in "leaves a server"/)
    expect(code).toBe(1)
  })
})

function run(args: string[]): Promise<{ code: unknown; output: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, args, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : error.code, output: stdout + stderr })
    })
  })
}
