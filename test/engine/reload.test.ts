/** Threads that are replaced, so that changed handlers are picked up. Over the sources, with real threads and real files. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { createRuntime, type LogLine, type RuntimeOptions } from '../../src/index.ts'
import { nextEvent } from '../kit/jobs.ts'
import { WrittenHandlers } from '../kit/written-handlers.ts'

/** A runtime over one handler that says what the module beside it says. */
function sayer(options: Partial<RuntimeOptions> = {}) {
  const handlers = new WrittenHandlers()
  handlers.write('word.mjs', `export const word = 'old'`)
  const say = handlers.task('say', `import { word } from './word.mjs'\nexport default () => word`)
  const wait = handlers.task(
    'wait',
    `import { existsSync } from 'node:fs'
    import { word } from './word.mjs'
    export default async (gate) => {
      while (!existsSync(gate)) await new Promise((resolve) => setTimeout(resolve, 5))
      return word
    }`,
  )
  const lines: string[] = []
  let heard = Promise.withResolvers<void>()
  const log = ({ message }: LogLine): void => {
    lines.push(message)
    heard.resolve()
    heard = Promise.withResolvers()
  }
  const runtime = createRuntime({ tasks: [say, wait], pool: { threads: 1 }, log, ...options })
  onTestFinished(() => void runtime.stop({ timeout: 0 }))
  const told = async (part: string): Promise<void> => {
    for (;;) {
      const { promise } = heard
      if (lines.some((line) => line.includes(part))) return void lines.splice(0)
      await promise
    }
  }
  const said = (): Promise<unknown> => runtime.enqueue(say, null).result()
  return { handlers, runtime, say, wait, said, told }
}

test('a reload picks up what a handler imports, without a new process', async () => {
  const { handlers, runtime, said } = sayer()
  expect(await said()).toBe('old')
  handlers.write('word.mjs', `export const word = 'new'`)
  expect(await said()).toBe('old')
  await runtime.reload()
  expect(await said()).toBe('new')
})

test('a reload lets running jobs end with the code they began with', async () => {
  const { handlers, runtime, said, wait } = sayer()
  const gate = join(handlers.folder, 'gate')
  const started = nextEvent(runtime, 'job:started')
  const job = runtime.enqueue(wait, gate)
  await started
  handlers.write('word.mjs', `export const word = 'new'`)
  await runtime.reload()
  expect(await said()).toBe('new')
  expect(job.state).toBe('running')
  writeFileSync(gate, '')
  expect(await job.result()).toBe('old')
})

test('a reload rejects with what is wrong with a handler, and the next one mends it', async () => {
  const { handlers, runtime, said } = sayer()
  await runtime.ready()
  handlers.write('word.mjs', 'export const word = ')
  await expect(runtime.reload()).rejects.toMatchObject({ code: 'ERR_HANDLER_NOT_FOUND' })
  handlers.write('word.mjs', `export const word = 'mended'`)
  await runtime.reload()
  expect(await said()).toBe('mended')
})

test('a runtime that has stopped refuses to reload', async () => {
  const { runtime } = sayer()
  await runtime.stop()
  await expect(runtime.reload()).rejects.toMatchObject({ code: 'ERR_RUNTIME_STOPPED' })
})

test('with reload: true a changed file is picked up by itself, whether it breaks a handler or mends it', async () => {
  const { handlers, runtime, said, told } = sayer({ reload: true })
  await runtime.ready()
  handlers.write('word.mjs', `export const word = 'changed'`)
  await told('reloaded the handlers')
  expect(await said()).toBe('changed')
  handlers.write('word.mjs', `export { word } from './missing.mjs'`)
  await told('has changed: ')
  handlers.write('missing.mjs', `export const word = 'found'`)
  await told('reloaded the handlers')
  expect(await said()).toBe('found')
})
