/**
 * Runs the tests that meet a package from outside against other versions of it, in a copy of this checkout.
 *
 *   npm run test:peers                          every package below: the lowest and the newest version that package.json allows
 *   npm run test:peers -- bullmq                one of them
 *   npm run test:peers -- bullmq --each-minor   the last version of every minor
 *   npm run test:peers -- bullmq@6.1.0          one version
 *   npm run test:peers -- bullmq@lowest --quick with the contract alone
 *
 * The last line counts the tests of all runs.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const root = fileURLToPath(new URL('..', import.meta.url))
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

const brokers = {
  tests: ['test/contract/bullmq', 'test/brokers/bullmq'],
  quick: ['test/contract/bullmq-redis', 'test/contract/bullmq-postgres'],
}
const faces = { tests: ['test/conformance', 'test/http'], quick: ['test/conformance/faces'] }

/** @type {Record<string, { tests: string[], quick: string[], beside?: string[] }>} */
const peers = {
  bullmq: brokers,
  ioredis: brokers,
  pg: brokers,
  piscina: { tests: ['test/pools', 'test/isolation', 'test/engine'], quick: ['test/pools'] },
  polka: faces,
  express: faces,
  fastify: faces,
  hono: faces,
  koa: faces,
  h3: faces,
  '@nestjs/core': {
    ...faces,
    beside: ['@nestjs/common', '@nestjs/platform-express', '@nestjs/platform-fastify'],
  },
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { 'each-minor': { type: 'boolean', default: false }, quick: { type: 'boolean', default: false } },
})

const asked = positionals.length > 0 ? positionals : Object.keys(peers)
const count = { passed: 0, failed: 0 }
for (const what of asked) {
  const [, name = '', version = ''] = /^(@?[^@]+)(?:@(.+))?$/.exec(what) ?? []
  const peer = peers[name]
  if (peer === undefined) throw new RangeError(`${what}: expected one of ${Object.keys(peers).join(', ')}`)
  for (const chosen of versionsOf(name, version)) runWith(name, chosen, peer)
}
console.log(`\n${count.passed} passed, ${count.failed} failed`)
process.exitCode = count.failed > 0 ? 1 : 0

/**
 * The versions to run with, lowest first.
 * @param {string} name
 * @param {string} version
 * @returns {string[]}
 */
function versionsOf(name, version) {
  if (/^\d/.test(version)) return [version]
  const range = manifest.peerDependencies[name] ?? manifest.dependencies[name]
  const { stdout, status, stderr } = spawnSync('npm', ['view', `${name}@${range}`, 'version', '--json'], {
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`npm view ${name}@${range}: ${stderr}`)
  /** @type {string | string[]} */
  const found = JSON.parse(stdout)
  const all = [found].flat().sort(inOrder)
  const [lowest = ''] = all
  const newest = all.at(-1) ?? ''
  if (version === 'lowest') return [lowest]
  if (version === 'newest') return [newest]
  if (!values['each-minor']) return lowest === newest ? [lowest] : [lowest, newest]
  const lastOfMinor = new Map(all.map((each) => [each.split('.').slice(0, 2).join('.'), each]))
  return [...new Set([lowest, ...lastOfMinor.values()])]
}

/**
 * By numbers; what comes before a release (`1.0.0-next.28`) comes before it.
 * @param {string} one
 * @param {string} other
 */
function inOrder(one, other) {
  const order = one.split('-')[0] === other.split('-')[0] ? other.length - one.length : 0
  return order || one.localeCompare(other, 'en', { numeric: true })
}

/**
 * Runs the tests with one version, in a copy that is gone afterwards.
 * @param {string} name
 * @param {string} version
 * @param {{ tests: string[], quick: string[], beside?: string[] }} peer
 */
function runWith(name, version, { tests, quick, beside = [] }) {
  const packages = [name, ...beside].map((each) => `${each}@${version}`)
  const suites = values.quick ? quick : tests
  console.log(`\n== ${packages.join(' ')}: ${suites.join(' ')}`)
  const folder = mkdtempSync(join(tmpdir(), 'aftertask-peers-'))
  try {
    copyTo(folder)
    const install = ['install', '--no-save', '--no-audit', '--no-fund', '--ignore-scripts', '--force']
    run(folder, 'npm', [...install, '--loglevel=error', ...packages])
    const installed = JSON.parse(readFileSync(join(folder, 'node_modules', name, 'package.json'), 'utf8'))
    if (installed.version !== version)
      throw new Error(`${name} ${installed.version} was installed, not ${version}`)
    run(folder, process.execPath, ['scripts/build.js'])
    const ok = run(folder, 'vitest', ['run', '--typecheck.enabled=false', ...suites])
    const report = JSON.parse(readFileSync(join(folder, '.test-results', 'unit.json'), 'utf8'))
    count.passed += report.numPassedTests
    count.failed += ok ? report.numFailedTests : Math.max(1, report.numFailedTests)
  } catch (error) {
    console.error(error)
    count.failed++
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/**
 * Copies what git knows, as it stands, and what is installed.
 * @param {string} folder
 */
function copyTo(folder) {
  const { stdout } = spawnSync('git', ['ls-files', '-co', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
  })
  for (const file of stdout.split('\n').filter(Boolean)) {
    cpSync(join(root, file), join(folder, file), { recursive: true })
  }
  const [from, to] = [join(root, 'node_modules'), join(folder, 'node_modules')]
  // Links where the system has them: npm puts a package in the place of another, and writes into none.
  const isLinked = spawnSync('cp', ['-al', from, to]).status === 0
  if (!isLinked) cpSync(from, to, { recursive: true, verbatimSymlinks: true })
  // But this file it writes into.
  const listing = join(to, '.package-lock.json')
  const text = readFileSync(listing)
  rmSync(listing)
  writeFileSync(listing, text)
}

/**
 * @param {string} folder
 * @param {string} command
 * @param {string[]} args
 */
function run(folder, command, args) {
  const bins = [join(folder, 'node_modules', '.bin'), join(root, 'node_modules', 'node', 'bin')]
  const env = { ...process.env, PATH: [...bins, process.env.PATH].join(delimiter) }
  return spawnSync(command, args, { cwd: folder, env, stdio: ['ignore', 'inherit', 'inherit'] }).status === 0
}
