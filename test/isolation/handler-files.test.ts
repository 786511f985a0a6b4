/** Which file a handler is imported from. */
import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { startThreads } from '../kit/threads.ts'
import { WrittenHandlers } from '../kit/written-handlers.ts'

const written = `const from: string = 'ts'; export default () => from`
const withEnum = `enum From { ts = 'ts' } export default () => From.ts`
const built = `export default () => 'js'`

/** What a handler of `file` gives, with these files there. */
async function resultOf(
  file: string,
  files: Record<string, string>,
  before?: (folder: string) => void,
): Promise<unknown> {
  const handlers = new WrittenHandlers()
  for (const [name, source] of Object.entries(files)) handlers.write(name, source)
  before?.(handlers.folder)
  const runtime = startThreads([handlers.taskIn('found', file)])
  await runtime.ready()
  return runtime.enqueue('found').result()
}

const named = { 'h.ts': written, 'h.js': built, 'package.json': '{ "type": "module" }' }
const installed = {
  'node_modules/acme/package.json': '{ "type": "module" }',
  'node_modules/acme/h.ts': written,
  'node_modules/acme/h.js': built,
}

test.each([
  ['is the one that the task names, where both are there', 'h.ts', named, 'ts'],
  ['is JavaScript below node_modules, where both are there', 'node_modules/acme/h.ts', installed, 'js'],
  ['is what was built from TypeScript that Node refuses', 'h.ts', { ...named, 'h.ts': withEnum }, 'js'],
  [
    'is what was built where Node refuses what the handler imports',
    'h.ts',
    { ...named, 'h.ts': `import from from './d.ts'; export default () => from`, 'd.ts': withEnum },
    'js',
  ],
  [
    'may have an ending in the name of its folder',
    'a.ts/h.js',
    { 'a.ts/h.ts': written, 'package.json': '{ "type": "module" }' },
    'ts',
  ],
])('the file of a handler %s', async (_, file, files, result) => {
  expect(await resultOf(file, files)).toBe(result)
})

test('the file of a handler of a linked package is the one that the task names', async () => {
  const link = (folder: string): void =>
    symlinkSync(join(folder, 'packages/acme'), join(folder, 'node_modules/acme'))
  const files = {
    'packages/acme/package.json': '{ "type": "module" }',
    'packages/acme/h.ts': written,
    'packages/acme/h.js': built,
    'node_modules/.keep': '',
  }
  expect(await resultOf('node_modules/acme/h.ts', files, link)).toBe('ts')
})

test('a handler that is there in TypeScript alone, which Node refuses, is told with the reason of Node', async () => {
  await expect(resultOf('h.ts', { 'h.ts': withEnum })).rejects.toMatchObject({
    code: 'ERR_HANDLER_NOT_FOUND',
    cause: { code: 'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX' },
  })
  await expect(
    resultOf('node_modules/acme/h.ts', { 'node_modules/acme/h.ts': written }),
  ).rejects.toMatchObject({ cause: { code: 'ERR_UNSUPPORTED_NODE_MODULES_TYPE_STRIPPING' } })
})
