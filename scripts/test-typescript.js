/**
 * Compiles a program of a user against the package as it is published, with each version of TypeScript and each way of
 * resolving modules, under lib es2022 and with its declarations checked.
 *
 *   npm run test:typescript                 all of them
 *   npm run test:typescript -- 5.5          one version
 */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const ways = [
  ['--module', 'nodenext'],
  ['--module', 'node16', '--moduleResolution', 'node16'],
  ['--module', 'esnext', '--moduleResolution', 'bundler'],
]
const versions = process.argv.length > 2 ? process.argv.slice(2) : ['5.5', '5.9', '7']

const folder = mkdtempSync(join(tmpdir(), 'aftertask-typescript-'))
let failed = 0
try {
  run(root, 'npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', folder])
  const [packed = ''] = readdirSync(folder).filter((file) => file.endsWith('.tgz'))
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module' }))
  const compilers = versions.map((version) => `typescript-${version}@npm:typescript@${version}`)
  const install = ['install', '--no-audit', '--no-fund', '--loglevel=error']
  // The types of Node 22: those of later ones ask for a later compiler.
  run(folder, 'npm', [...install, join(folder, packed), 'zod', '@types/node@22', ...compilers])
  cpSync(join(root, 'test', 'typescript', 'use.ts'), join(folder, 'use.ts'))
  for (const version of versions) for (const way of ways) compile(version, way)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
console.log(failed === 0 ? `\n${versions.length * ways.length} passed` : `\n${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1

/**
 * @param {string} version
 * @param {string[]} way
 */
function compile(version, way) {
  const strict = ['--noEmit', '--strict', '--exactOptionalPropertyTypes', '--skipLibCheck', 'false']
  const lib = ['--target', 'es2022', '--lib', 'es2022', '--types', 'node']
  const tsc = join('node_modules', `typescript-${version}`, 'bin', 'tsc')
  const args = [tsc, ...strict, ...lib, ...way, 'use.ts']
  const { stdout } = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' })
  // What is wrong with the declarations of others is theirs.
  const faults = stdout
    .split('\n')
    .filter((line) => /^(?:use\.ts|node_modules\/aftertask\/).*error/.test(line))
  const others = stdout.split('\n').filter((line) => /error TS/.test(line)).length - faults.length
  console.log(`TypeScript ${version}, ${way.join(' ')}: ${faults.length} errors, ${others} in other packages`)
  for (const fault of faults) console.log(`  ${fault}`)
  if (faults.length > 0) failed++
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
