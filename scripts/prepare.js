/**
 * What `npm start` and `npm test` do first: install when needed, see to it that Node is new enough, build when
 * needed. It runs on whatever Node the machine has (16 or newer), before there are any dependencies.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildIsStale } from './build.js'
import { explain, isNewEnough } from './new-enough.js'

const root = fileURLToPath(new URL('..', import.meta.url))

/**
 * Installs, checks and builds as needed; false, after saying why, when something stands in the way.
 * @param {{ withBuild: boolean }} options
 */
export function prepare({ withBuild }) {
  if (installIsStale() && !install()) {
    console.error('\nThe dependencies could not be installed: see what npm says above.\n')
    return false
  }
  const version = nodeOfScripts()
  if (!isNewEnough(version)) {
    console.error(explain(version))
    return false
  }
  return !(withBuild && buildIsStale()) || build()
}

/** Builds on the Node of npm scripts: the machine's own may be too old for the tools. */
function build() {
  return onNodeOfScripts('scripts/build.js', 'inherit').status === 0
}

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
  return status === 0
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

/** The version of the Node that npm scripts run on. */
function nodeOfScripts() {
  const asked = onNodeOfScripts('-p process.versions.node', 'pipe')
  return asked.status === 0 ? asked.stdout.trim() : 'that does not start'
}

/**
 * Runs Node as npm scripts do, which find `node_modules/.bin/node` before the machine's own.
 * @param {string} args
 * @param {'inherit' | 'pipe'} stdio
 */
function onNodeOfScripts(args, stdio) {
  const path = join(root, 'node_modules', '.bin') + delimiter + process.env.PATH
  return spawnSync(`node ${args}`, {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, PATH: path },
    shell: true,
    stdio,
  })
}

if (process.argv[1] === fileURLToPath(import.meta.url) && !prepare({ withBuild: true })) process.exit(1)
