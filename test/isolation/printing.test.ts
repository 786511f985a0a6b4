/** What handlers print, in a process of its own: a runtime whose threads are ended in every way. */
import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { expect, test } from 'vitest'
import { WrittenHandlers } from '../kit/written-handlers.ts'

const root = new URL('../../', import.meta.url)

async function printedBy(handler: string, server: string): Promise<{ out: string; err: string }> {
  const handlers = new WrittenHandlers()
  handlers.write('prints.mjs', handler)
  handlers.write(
    'main.mjs',
    `import { createRuntime, defineTask } from ${JSON.stringify(new URL('src/index.ts', root).href)}
     const prints = defineTask({ name: 'prints', handler: new URL('./prints.mjs', import.meta.url), onCrash: 'fail' })
     const pool = { threads: 1, resourceLimits: { maxOldGenerationSizeMb: 32 } }
     const runtime = createRuntime({ tasks: [prints], pool, killGrace: 1, log: false })
     ${server}`,
  )
  const child = spawn(process.execPath, ['main.mjs'], {
    cwd: handlers.folder,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)])
  return { out, err }
}

const prints = `process.stdout.write('a\\n'); console.log('b'); process.stderr.write('c\\n'); console.error('d'); console.log('e')`
const all = { out: 'a\nb\ne\n', err: 'c\nd\n' }

const started = 'const job = runtime.enqueue(prints)'

test.each([
  ['runs out of memory', 'const kept = []; for (;;) kept.push({ value: kept.length })'],
  ['ends the process', 'process.exit(1)'],
  ['throws', `throw new Error('thrown')`],
])('all that a handler prints comes out when it %s', async (_, end) => {
  const server = `${started}; await job.settled; await runtime.stop()`
  expect(await printedBy(`export default () => { ${prints}; ${end} }`, server)).toEqual(all)
})

test.each([
  [
    'a cancel ends it while it spins',
    'while (true);',
    'job.cancel(); await job.settled; await runtime.stop()',
  ],
  [
    'a cancel ends it while it waits for ever',
    'return new Promise(() => {})',
    'job.cancel(); await job.settled; await runtime.stop()',
  ],
  ['a stop ends its thread', 'while (true);', 'runtime.stop({ timeout: 0 })'],
])('all that a handler prints comes out when %s', async (_, end, then) => {
  const server = `${started}; runtime.on('job:progress', async () => { ${then} })`
  const handler = `export default (payload, ctx) => { ${prints}; ctx.progress(1); ${end} }`
  expect(await printedBy(handler, server)).toEqual(all)
})

test('a handler that prints without end fills its own memory, not the server', async () => {
  const handler = `export default () => { const line = 'x'.repeat(1023); for (;;) console.log(line) }`
  const server = `
    await runtime.enqueue(prints, undefined, { timeout: 1000 }).settled
    await runtime.stop()
    console.error(process.memoryUsage().rss < 2 ** 29)`
  const { out, err } = await printedBy(handler, server)
  expect(err).toBe('true\n')
  // What it prints before the other side asks for more.
  expect(out.length).toBeGreaterThan(2 ** 16)
})
