/** `node --watch`, which restarts a program when a file that it has loaded is edited. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { expect, onTestFinished, test } from 'vitest'
import { WrittenHandlers } from '../kit/written-handlers.ts'

test.each([
  ['a handler', 'handler.mjs', (value: string) => `export default () => '${value}'`],
  ['what a handler imports', 'dependency.mjs', (value: string) => `export const value = '${value}'`],
  ['a handler in CommonJS', 'handler.cjs', (value: string) => `module.exports = () => '${value}'`],
])('an edit of %s is noticed under node --watch, and the handlers load', async (_, file, source) => {
  const handlers = new WrittenHandlers()
  handlers.write('handler.mjs', `import { value } from './dependency.mjs'; export default () => value`)
  handlers.write('dependency.mjs', source('first'))
  handlers.write(file, source('first'))
  const handler = file === 'dependency.mjs' ? 'handler.mjs' : file
  handlers.write(
    'main.mjs',
    `import { createRuntime, defineTask } from ${JSON.stringify(new URL('../../src/index.ts', import.meta.url).href)}
     const task = defineTask({ name: 'watched', handler: new URL('./${handler}', import.meta.url) })
     const runtime = createRuntime({ tasks: [task], pool: { threads: 1 } })
     await runtime.ready()
     console.log(await runtime.enqueue(task).result())
     setInterval(() => {}, 1000)`,
  )
  const child = spawn(process.execPath, ['--watch', '--watch-preserve-output', 'main.mjs'], {
    cwd: handlers.folder,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const told: string[] = []
  child.stderr.on('data', (chunk) => told.push(String(chunk)))
  onTestFinished(async () => {
    const exited = once(child, 'exit')
    child.kill()
    await exited
  })
  const seen: string[] = []
  // Node begins to watch a file some time after it has been loaded, and tells nobody when: the edit is made again. Each makes
  // Node start anew, so the next one leaves it twice the time.
  let timer: NodeJS.Timeout | undefined
  const edit = (again: number): void => {
    handlers.write(file, source('second'))
    timer = setTimeout(edit, again, again * 2)
  }
  onTestFinished(() => clearTimeout(timer))
  for await (const line of createInterface({ input: child.stdout })) {
    if (line === 'first' && seen.length === 0) edit(2000)
    if (line === 'first' || line === 'second') seen.push(line)
    if (line === 'second') break
  }
  expect(seen, told.join('')).toEqual(['first', 'second'])
})
