/**
 * Builds dist from src and workers, in place: a program that runs from dist meanwhile never finds it empty. What has lost
 * its source is removed afterwards.
 *
 * The types are made by tsc, file by file. The code is put together by rolldown, into a file for each entry and one for
 * what entries share: to find, read and compile sixty files took Node more than half of the time of an import.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmSync, statSync, utimesSync } from 'node:fs'
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
async function build() {
  const started = new Date()
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  const args = [tsc, '-p', join(root, 'tsconfig.build.json')]
  if (spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' }).status !== 0) return false
  const code = await bundle()
  for (const file of tree('dist')) {
    const path = join(root, file)
    if (!statSync(path).isFile() || code.has(file.replace(/\.map$/, ''))) continue
    const source = file.replace(/^dist./, '').replace(/\.d\.ts(\.map)?$/, '.ts')
    if (source.endsWith('.js') || source.endsWith('.js.map') || !existsSync(join(root, source))) rmSync(path)
  }
  if (existsSync(marker)) utimesSync(marker, started, started)
  return true
}

/** Puts the code together; returns the files. What entries share lies as deep as the modules that look for a file beside. */
async function bundle() {
  // Not above: this module is also asked whether there is a build, when nothing is installed yet.
  const { rolldown } = await import('rolldown')
  const { exports, bin } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const targets = [...Object.values(exports).map((target) => target.default ?? ''), ...Object.values(bin)]
  const published = targets.filter((target) => target.endsWith('.js'))
  const threads = [
    './dist/workers/task-thread.js',
    './dist/workers/isolation-thread.js',
    './dist/workers/journal-thread.js',
    './dist/src/telemetry/opentelemetry/run-in-trace.js',
  ]
  const entries = [...published, ...threads].map((file) => file.slice('./dist/'.length, -'.js'.length))
  const made = await rolldown({
    cwd: root,
    input: Object.fromEntries(entries.map((entry) => [entry, `${entry}.ts`])),
    platform: 'node',
    // Packages stay packages: only what is ours is put together.
    external: /^[^./]/,
  })
  const { output } = await made.write({
    dir: 'dist',
    format: 'esm',
    sourcemap: true,
    entryFileNames: '[name].js',
    chunkFileNames: 'src/shared/[name].js',
  })
  await made.close()
  return new Set(output.map(({ fileName }) => join('dist', fileName)))
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

if (process.argv[1] === fileURLToPath(import.meta.url) && !(await build())) process.exit(1)
