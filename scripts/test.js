/**
 * The whole check behind `npm test`: every step runs even when one before it failed, so that one run tells
 * everything. The last line counts the tests and the other steps together: it cannot say "0 failed" of a run
 * in which anything failed.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { prepare } from './prepare.js'

const root = fileURLToPath(new URL('..', import.meta.url))
const results = join(root, '.test-results')
const report = join(results, 'unit.json')
const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

const steps = ['typecheck', 'lint', 'build', 'test:unit', 'check:publint', 'check:types', 'check:unused']

// Not a `pretest`: npm skips that where install scripts are switched off.
if (!prepare({ withBuild: false })) process.exit(1)

rmSync(results, { recursive: true, force: true })
mkdirSync(results)

const count = { passed: 0, failed: 0, skipped: 0 }
/** @type {string[]} */
const failedSteps = []
/** @type {string[]} */
const failedTests = []
for (const name of steps) {
  console.log(`\n== ${name}: ${scripts[name]}`)
  const started = performance.now()
  const ok = run(scripts[name])
  console.log(`== ${name}: ${ok ? 'ok' : 'FAILED'}, ${((performance.now() - started) / 1000).toFixed(1)} s`)
  if (!ok) failedSteps.push(name)
  if (name === 'test:unit') addTests(ok)
  else count[ok ? 'passed' : 'failed']++
}

if (failedSteps.length > 0) {
  const failed = [`Failed: ${failedSteps.join(', ')}`, ...failedTests].join('\n  ')
  // .ci/run repeats this too.
  writeFileSync(join(results, 'failed.txt'), `${failed}\n`)
  console.log(`\n${failed}`)
}
const skipped = count.skipped > 0 ? `, ${count.skipped} skipped` : ''
const summary = `${count.passed} passed, ${count.failed} failed${skipped}`
// .ci/run repeats this as its own last line, after what npm has to say.
writeFileSync(join(results, 'summary.txt'), `${summary}\n`)
console.log(`\n${summary}`)
process.exitCode = count.failed > 0 ? 1 : 0

/**
 * Runs a script of package.json as npm would, without an npm for each.
 * @param {string} command
 */
function run(command) {
  const path = join(root, 'node_modules', '.bin') + delimiter + process.env.PATH
  const { status } = spawnSync(command, {
    cwd: root,
    env: { ...process.env, PATH: path },
    shell: true,
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  return status === 0
}

/**
 * Adds the tests of vitest's report. A run can fail without a failed test, by a file that does not load, a leak
 * or an error that nothing caught: that counts as one.
 * @param {boolean} ok
 */
function addTests(ok) {
  let failed = 0
  try {
    const tests = JSON.parse(readFileSync(report, 'utf8'))
    failed = tests.numFailedTests
    count.passed += tests.numPassedTests
    count.skipped += tests.numPendingTests + tests.numTodoTests
    for (const { name, status, assertionResults } of tests.testResults) {
      const names = assertionResults
        .filter((/** @type {{ status: string }} */ one) => one.status === 'failed')
        .map((/** @type {{ fullName: string }} */ { fullName }) => `: ${fullName}`)
      if (status === 'failed' && names.length === 0) names.push('')
      failedTests.push(...names.map((/** @type {string} */ one) => relative(root, name) + one))
    }
  } catch (error) {
    console.error(`No report of the tests: ${error}`)
    failed = 1
  }
  count.failed += ok ? failed : Math.max(1, failed)
}
