/**
 * Builds dist from src and workers with tsc, in place: a program that runs from dist meanwhile never finds it
 * empty. What has lost its source is removed afterwards.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, rmSync, statSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const sources = ['src', 'workers']
const settings = ['package-lock.json', 'tsconfig.json', 'tsconfig.build.json']
// Its time says when the sources of the last build were read.
const marker = join(root, 'dist', 'src', 'index.js')

/** True when dist is missing, or older than what it is made from. */
export function buildIsStale() {
  if (!existsSync(marker)) return true
  const built = statSync(marker).mtimeMs
  const inputs = [...settings, ...sources, ...sources.flatMap(tree)]
  // A folder's own time changes when a file in it is removed.
  return inputs.some((file) => existsSync(join(root, file)) && statSync(join(root, file)).mtimeMs > built)
}

/** Builds; false when tsc found a fault, which it has printed. */
export function build() {
  const started = new Date()
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  const args = [tsc, '-p', join(root, 'tsconfig.build.json')]
  if (spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' }).status !== 0) return false
  for (const file of tree('dist')) {
    const source = file.replace(/^dist./, '').replace(/(\.d\.ts|\.js)(\.map)?$/, '.ts')
    const path = join(root, file)
    if (statSync(path).isFile() && !existsSync(join(root, source))) rmSync(path)
  }
  if (existsSync(marker)) utimesSync(marker, started, started)
  return true
}

/**
 * Everything below a folder of this project, folders included.
 * @param {string} folder
 * @returns {string[]}
 */
function tree(folder) {
  if (!existsSync(join(root, folder))) return []
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    return entry.isDirectory() ? [path, ...tree(path)] : [path]
  })
}

if (process.argv[1] === fileURLToPath(import.meta.url) && !build()) process.exit(1)
