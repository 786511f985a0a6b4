/**
 * Runs the tests of test/testing/runners with every test runner that there are matchers for, as a user has them: the package as it
 * is published, installed beside the runner in a folder of its own. Types are checked as well.
 *
 *   npm run test:runners                all of them
 *   npm run test:runners -- jest@30     one of them
 */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

/** @type {Record<string, { packages: string[], run: string[], file: string }>} */
const runners = {
  'vitest@4': { packages: ['vitest@4'], run: ['vitest/vitest.mjs', 'run'], file: 'vitest.test.js' },
  'vitest@5': { packages: ['vitest@5'], run: ['vitest/vitest.mjs', 'run'], file: 'vitest.test.js' },
  'jest@30': { packages: ['jest@30', '@jest/globals@30'], run: ['jest/bin/jest.js'], file: 'jest.test.js' },
  node: { packages: [], run: [], file: 'node.test.js' },
}

const asked = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(runners)
const failed = asked.filter((name) => !passes(name))
console.log(failed.length === 0 ? `\n${asked.length} runners passed` : `\nfailed: ${failed.join(', ')}`)
process.exitCode = failed.length === 0 ? 0 : 1

/**
 * Runs the tests with one runner, in a folder that is gone afterwards.
 * @param {string} name
 */
function passes(name) {
  const runner = runners[name]
  if (runner === undefined)
    throw new RangeError(`${name}: expected one of ${Object.keys(runners).join(', ')}`)
  console.log(`\n== ${name}`)
  const folder = mkdtempSync(join(tmpdir(), 'aftertask-runners-'))
  try {
    run(root, 'npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', folder])
    const [packed = ''] = readdirSync(folder).filter((file) => file.endsWith('.tgz'))
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module' }))
    const install = ['install', '--no-audit', '--no-fund', '--loglevel=error']
    const types = ['@types/node@24', 'typescript@7']
    run(folder, 'npm', [...install, join(folder, packed), ...types, ...runner.packages])
    const tests = join(root, 'test', 'testing', 'runners')
    for (const file of ['cases.js', 'charge-card.js', 'use.ts']) cpSync(join(tests, file), join(folder, file))
    cpSync(join(tests, runner.file.replace('.test', '')), join(folder, runner.file))
    // Jest imports modules as modules with this flag alone.
    const flags = name.startsWith('jest') ? ['--experimental-vm-modules'] : []
    const [script, ...rest] = runner.run
    const own = script === undefined ? ['--test', runner.file] : [join('node_modules', script), ...rest]
    run(folder, process.execPath, [...flags, ...own])
    checkTypes(folder, name)
    return true
  } catch (error) {
    console.error(error)
    return false
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/**
 * @param {string} folder
 * @param {string} name
 */
function checkTypes(folder, name) {
  const [subpath = ''] = name.split('@')
  const uses = {
    vitest: `import { expect } from 'vitest'\nexpect(runtime).toHaveJob('card.charge', { order: '17' })\nexpect(runtime).not.toHaveJob('card.charge')`,
    jest: `import { expect } from '@jest/globals'\nexpect(runtime).toHaveJob('card.charge', { order: '17' })\nexpect(runtime).not.toHaveJob('card.charge')`,
    node: `import { test } from 'node:test'\ntest('it', (t) => void t.assert.hasJob(runtime, 'card.charge'))`,
  }
  const wrong = subpath === 'node' ? 't.assert.hasJob(5)' : 'expect(runtime).toHaveJob()'
  const around = subpath === 'node' ? `test('it', (t) => { ${wrong} })` : wrong
  writeFileSync(
    join(folder, 'types.ts'),
    `import 'aftertask/testing/${subpath}'\nimport { runtime } from './use.ts'\n${Reflect.get(uses, subpath)}\n// @ts-expect-error a task is missing\n${around}\n`,
  )
  const how = [
    '--noEmit',
    '--strict',
    '--skipLibCheck',
    '--module',
    'nodenext',
    '--allowImportingTsExtensions',
  ]
  const tsc = join('node_modules', 'typescript', 'bin', 'tsc')
  run(folder, process.execPath, [tsc, ...how, '--target', 'es2024', '--types', 'node', 'types.ts'])
}

/**
 * @param {string} cwd
 * @param {string} command
 * @param {string[]} args
 */
function run(cwd, command, args) {
  const { status } = spawnSync(command, args, { cwd, stdio: 'inherit' })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: exit code ${status}`)
}
