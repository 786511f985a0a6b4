/** The declarations as a user's compiler reads them. Other compilers and ways to resolve: npm run test:typescript. */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))

test('the declarations compile under lib es2022 and are checked themselves, and refuse what a user gets wrong', () => {
  const folder = mkdtempSync(join(tmpdir(), 'aftertask-types-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  mkdirSync(join(folder, 'node_modules/@types'), { recursive: true })
  symlinkSync(root, join(folder, 'node_modules/aftertask'))
  for (const name of ['zod', '@types/node'])
    symlinkSync(join(root, 'node_modules', name), join(folder, 'node_modules', name))
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  cpSync(join(import.meta.dirname, 'use.ts'), join(folder, 'use.ts'))
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const strict = ['--noEmit', '--strict', '--exactOptionalPropertyTypes', '--skipLibCheck', 'false']
  const lib = ['--target', 'es2022', '--lib', 'es2022', '--types', 'node', '--module', 'nodenext']
  const { stdout } = spawnSync(process.execPath, [tsc, ...strict, ...lib, 'use.ts'], {
    cwd: folder,
    encoding: 'utf8',
  })
  expect(stdout).toBe('')
})
