/**
 * What `npm start` and `npm test` do first: install when needed, see to it that Node is new enough, build when
 * needed. It runs on whatever Node the machine has (16 or newer), before there are any dependencies.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build, buildIsStale } from './build.js'

const root = fileURLToPath(new URL('..', import.meta.url))
const wanted = { major: 22, minor: 18 }

if (installIsStale()) install()
checkNode()
if (!process.argv.includes('--no-build') && buildIsStale() && !build()) process.exit(1)

/**
 * True when what is installed is not what the lockfile asks for. npm keeps a copy of the lockfile beside what it
 * installed; times would not do, since a checkout gives every file a new one.
 */
function installIsStale() {
  const installed = join(root, 'node_modules', '.package-lock.json')
  if (!existsSync(installed)) return true
  const has = packagesIn(installed)
  return Object.entries(packagesIn(join(root, 'package-lock.json'))).some(
    ([place, entry]) => place !== '' && !entry.optional && has[place]?.version !== entry.version,
  )
}

/**
 * @param {string} lockfile
 * @returns {Record<string, { version: string, optional?: boolean }>}
 */
function packagesIn(lockfile) {
  return JSON.parse(readFileSync(lockfile, 'utf8')).packages
}

function install() {
  console.log('Installing the dependencies (npm ci) ...')
  // The npm that runs this script, when there is one; a shell finds npm.cmd on Windows.
  const npm = process.env.npm_execpath
  const args = ['ci', '--include=dev', '--include=optional', '--no-audit', '--no-fund', '--loglevel=error']
  const options = { cwd: root, stdio: /** @type {const} */ ('inherit'), env: outerEnvironment() }
  const { status } = npm
    ? spawnSync(process.execPath, [npm, ...args], options)
    : spawnSync('npm', args, { ...options, shell: true })
  if (status !== 0) stop('The dependencies could not be installed: see what npm says above.')
}

/**
 * The environment without what npm tells its scripts about itself: an npm inside an npm would take the outer
 * command's options for its own, and `--ignore-scripts` or `--global` would then break the install.
 */
function outerEnvironment() {
  const aboutThisRun = /^(init_cwd|npm_(command|execpath|node_execpath)|npm_(lifecycle|package)_.*)$/i
  const changesTheInstall =
    /^npm_config_(dry_run|global|ignore_scripts|include|local_prefix|location|omit|only|prefix|production|workspaces?)$/i
  return Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !(aboutThisRun.test(name) || changesTheInstall.test(name)),
    ),
  )
}

/** Every npm script finds `node_modules/.bin/node` before the machine's own Node: ask that one. */
function checkNode() {
  const path = join(root, 'node_modules', '.bin') + delimiter + process.env.PATH
  const asked = spawnSync('node -p process.versions.node', {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, PATH: path },
    shell: true,
  })
  const version = asked.status === 0 ? asked.stdout.trim() : ''
  const [major = 0, minor = 0] = version.split('.').map(Number)
  if (major > wanted.major || (major === wanted.major && minor >= wanted.minor)) return
  stop(
    `aftertask needs Node ${wanted.major}.${wanted.minor} or newer, but npm scripts here run ${version ? `Node ${version}` : 'a Node that does not start'}.`,
    'Either install a newer Node on this machine, or let the one that comes with the dependencies be set up:',
    '  npm rebuild node --ignore-scripts=false',
    'It is put in place by an install script: if yours are switched off (npm config get ignore-scripts), that is why.',
  )
}

/** @param {string[]} lines */
function stop(...lines) {
  console.error(`\n${lines.join('\n')}\n`)
  process.exit(1)
}
