/** Which file a handler is imported from: the one that its task names, or the sibling with the other ending. */
import { existsSync, realpathSync } from 'node:fs'
import { sep } from 'node:path'
import { fileURLToPath } from 'node:url'

const SIBLINGS: Readonly<Record<string, string>> = {
  '.js': '.ts',
  '.ts': '.js',
  '.mjs': '.mts',
  '.mts': '.mjs',
  '.cjs': '.cts',
  '.cts': '.cjs',
}

/**
 * The URLs of the files that are there, in the order in which they are to be tried: as the task names it, then its
 * sibling. Below `node_modules` JavaScript comes first, since Node drops no types there.
 *
 * @throws what is wrong with a URL that is no path.
 */
export function handlerFiles(module: string): readonly string[] {
  const url = new URL(module)
  const ending = /\.[cm]?[jt]s$/.exec(url.pathname)?.[0] ?? ''
  const sibling = SIBLINGS[ending]
  if (sibling !== undefined) url.pathname = url.pathname.slice(0, -ending.length) + sibling
  const named = sibling === undefined ? [module] : [module, url.href]
  const there = named.filter((file) => existsSync(fileURLToPath(file)))
  return there.length > 1 && there.every(isInstalled) ? there.toSorted(javaScriptFirst) : there
}

function isInstalled(file: string): boolean {
  return realpathSync(fileURLToPath(file)).includes(`${sep}node_modules${sep}`)
}

function javaScriptFirst(a: string, b: string): number {
  return Number(isTypeScript(a)) - Number(isTypeScript(b))
}

/** True for a file that Node has to drop types from. */
function isTypeScript(file: string): boolean {
  return /\.[cm]?ts$/.test(new URL(file).pathname)
}

const REFUSED = new Set([
  'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX',
  'ERR_UNSUPPORTED_NODE_MODULES_TYPE_STRIPPING',
  'ERR_UNKNOWN_FILE_EXTENSION',
])

/** True when Node has refused to run TypeScript: what was built from it may still run. */
export function isRefusedTypeScript(error: unknown): boolean {
  return REFUSED.has(String((error as { code?: unknown } | null)?.code))
}

/** A module's URL as it is shown to people: its path, where it is one. */
export function shown(module: string): string {
  try {
    return fileURLToPath(module)
  } catch {
    return module
  }
}
