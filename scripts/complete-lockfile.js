/**
 * Adds to package-lock.json the platform packages that `npm install` could not see.
 *
 * A native tool lists one optional package for each platform, and `npm ci` refuses a lockfile that lacks one of
 * them. A registry mirror may hold only some of them, and `npm install` then leaves the others out. Their
 * entries need nothing from the registry: the version is the one that the tool asks for, and the platform is in
 * the name. Run this after a change of dependencies; test/house/lockfile.test.ts fails when that was forgotten.
 */
import { readFileSync, writeFileSync } from 'node:fs'

const file = new URL('../package-lock.json', import.meta.url)
const lock = JSON.parse(readFileSync(file, 'utf8'))

const systems = [
  'aix',
  'android',
  'darwin',
  'freebsd',
  'linux',
  'netbsd',
  'openbsd',
  'openharmony',
  'sunos',
  'win32',
]
const processors = [
  'arm',
  'arm64',
  'ia32',
  'loong64',
  'mips64el',
  'ppc64',
  'riscv64',
  's390x',
  'wasm32',
  'x64',
]

/** @param {string} name */
function platform(name) {
  const words = name.split(/[-/]/)
  const os = words.find((word) => systems.includes(word))
  const cpu = words.find((word) => processors.includes(word))
  const libc = words.some((word) => word.startsWith('musl'))
    ? 'musl'
    : words.some((word) => word.startsWith('gnu'))
      ? 'glibc'
      : undefined
  return { ...(os && { os: [os] }), ...(cpu && { cpu: [cpu] }), ...(libc && { libc: [libc] }) }
}

/** @type {string[]} */
const added = []
for (const [, entry] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const place = `node_modules/${name}`
    if (lock.packages[place] !== undefined || !/^\d/.test(version)) continue
    const { os, cpu, libc } = platform(name)
    if (os === undefined && cpu === undefined) continue
    lock.packages[place] = {
      version,
      ...(cpu && { cpu }),
      ...(entry.dev && { dev: true }),
      ...(libc && { libc }),
      optional: true,
      ...(os && { os }),
    }
    added.push(name)
  }
}

// npm's own order, so that the next install moves no line.
const byName = new Intl.Collator('en').compare
lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => byName(a, b)))
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`)
console.log(
  added.length === 0 ? 'The lockfile names every platform.' : `Added ${added.length}:\n${added.join('\n')}`,
)
