/** The declarations as a user's compiler reads them. Other compilers and ways to resolve: npm run test:typescript. */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** A folder in which a program finds this package, gone when the test is over. */
function programFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'aftertask-types-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  mkdirSync(join(folder, 'node_modules/@types'), { recursive: true })
  symlinkSync(root, join(folder, 'node_modules/aftertask'))
  for (const name of ['zod', '@types/node'])
    symlinkSync(join(root, 'node_modules', name), join(folder, 'node_modules', name))
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  return folder
}

test('the declarations compile under lib es2022 and are checked themselves, refuse what a user gets wrong, and say of a path what to write', () => {
  const folder = programFolder()
  cpSync(join(import.meta.dirname, 'use.ts'), join(folder, 'use.ts'))
  const path = `import { defineTask } from 'aftertask'\ndefineTask({ name: 'x', handler: './x.ts' })\n`
  writeFileSync(join(folder, 'path.ts'), path)
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const strict = ['--noEmit', '--strict', '--exactOptionalPropertyTypes', '--skipLibCheck', 'false']
  const lib = ['--target', 'es2022', '--lib', 'es2022', '--types', 'node', '--module', 'nodenext']
  const { stdout } = spawnSync(process.execPath, [tsc, ...strict, ...lib, 'use.ts', 'path.ts'], {
    cwd: folder,
    encoding: 'utf8',
  })
  expect(stdout).toBe(
    `path.ts(2,25): error TS2322: Type '"./x.ts"' is not assignable to type '"a path is no URL; write new URL('./workers/name.js', import.meta.url)"'.\n`,
  )
})

/** Handlers as a compiler has left them. */
const BUILT = [
  `import { shout } from '#lib/shout.js'`,
  'export const loud = (text) => shout(text)',
  `export function fails() { throw new Error('broken') }`,
].join('\n')

/** Each line of the built file is the one six lines further down in the source. */
const MAP = { version: 3, sources: ['handlers.ts'], names: [], mappings: 'AAMA;AACA;AACA' }

test('a thread resolves #imports of package.json, and shows the lines of the source where source maps are on', () => {
  const folder = programFolder()
  const write = (file: string, text: string): void => {
    mkdirSync(dirname(join(folder, file)), { recursive: true })
    writeFileSync(join(folder, file), text)
  }
  write('package.json', '{ "type": "module", "imports": { "#lib/*": "./lib/*" } }')
  write('lib/shout.js', 'export const shout = (text) => text.toUpperCase()')
  const inline = Buffer.from(JSON.stringify(MAP)).toString('base64')
  write('dist/handlers.js', `${BUILT}\n//# sourceMappingURL=data:application/json;base64,${inline}\n`)
  write(
    'types.ts',
    `const name: string = 'types'\n\nexport default function fails(): never {\n  throw new Error(name)\n}\n`,
  )
  write(
    'main.js',
    `import { createRuntime, defineTask } from 'aftertask'
    import { z } from 'zod'
    const module = new URL('./dist/handlers.js', import.meta.url)
    const loud = defineTask({ name: 'loud', payload: z.string(), handler: { module, export: 'loud' } })
    const fails = defineTask({ name: 'fails', handler: { module, export: 'fails' } })
    const types = defineTask({ name: 'types', handler: new URL('./types.ts', import.meta.url) })
    const runtime = createRuntime({ tasks: [loud, fails, types], log: false })
    const result = await runtime.enqueue(loud, 'hello').result()
    const frameOf = async (task) => (await runtime.enqueue(task).settled).error.stack.split('\\n')[1].trim()
    console.log(JSON.stringify([result, await frameOf(fails), await frameOf(types)]))
    await runtime.stop()`,
  )
  const run = (...flags: string[]): unknown => {
    const { stdout, stderr } = spawnSync(process.execPath, [...flags, 'main.js'], {
      cwd: folder,
      encoding: 'utf8',
    })
    return JSON.parse(stdout || JSON.stringify(stderr))
  }
  const stripped = expect.stringMatching(/types\.ts:4:9\)?$/)
  expect(run()).toEqual(['HELLO', expect.stringMatching(/dist\/handlers\.js:3:\d+\)?$/), stripped])
  expect(run('--enable-source-maps')).toEqual([
    'HELLO',
    expect.stringMatching(/dist\/handlers\.ts:9:\d+\)?$/),
    stripped,
  ])
})
