/** Finds and imports handlers inside the thread. A module is imported once, also when it throws. */
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { HandlerLocation } from '../src/rules/protocol.ts'
import { HandlerNotFoundError, type HandlerProblem } from '../src/words/errors.ts'
import { whose } from './whose.ts'

/** A handler as the thread calls it. */
export type AnyHandler = (payload: unknown, context: unknown) => unknown

/** The handlers of a thread by task number. */
export interface LoadedHandlers {
  readonly problems: readonly HandlerProblem[]
  readonly names: readonly string[]
  /** The handler, or a promise of it when its module is still to be imported. Throws what is wrong with it. */
  get(task: number): AnyHandler | Promise<AnyHandler>
}

// A module that never finishes its top-level await would keep the whole thread from coming up.
const IMPORT_TIMEOUT = 10_000

type Loaded = { handler: AnyHandler } | { error: HandlerNotFoundError }

/** Imports every handler, or with `warmUp` off only looks whether the files are there and imports at the first job. */
export async function loadHandlers(
  locations: readonly (HandlerLocation | null)[],
  warmUp: boolean,
): Promise<LoadedHandlers> {
  const loaded: (Loaded | Promise<Loaded> | undefined)[] = []
  const problems: HandlerProblem[] = []
  for (const [task, location] of locations.entries()) {
    if (location === null) continue
    const file = existingFile(location.module)
    if (file === undefined)
      loaded[task] = problem(
        location,
        `the module ${shown(location.module)} does not exist (looked for .js and .ts)`,
      )
    else if (warmUp) loaded[task] = await load(location, file)
    const result = loaded[task]
    if (result !== undefined && 'error' in result) problems.push(...result.error.problems)
  }
  return {
    problems,
    names: locations.map((location) => location?.task ?? ''),
    get(task) {
      const location = locations[task] as HandlerLocation
      const known = loaded[task] ?? load(location, existingFile(location.module) ?? location.module)
      loaded[task] = known
      if (known instanceof Promise) {
        return known.then((result) => {
          loaded[task] = result
          return unwrap(result)
        })
      }
      return unwrap(known)
    },
  }
}

function unwrap(result: Loaded): AnyHandler {
  if ('error' in result) throw result.error
  return result.handler
}

async function load(location: HandlerLocation, file: string): Promise<Loaded> {
  let module: Record<string, unknown>
  try {
    module = await importWithin(file)
  } catch (cause) {
    const why = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause)
    return problem(location, `the module ${shown(file)} could not be loaded: ${why}`, [], cause)
  }
  const handler = pick(module, location.export)
  if (handler !== undefined) return { handler }
  const exports = Object.keys(module).sort((a, b) => a.localeCompare(b))
  const list = exports.length > 0 ? `it exports: ${exports.join(', ')}` : 'it exports nothing'
  const found = location.export in module ? 'is not a function' : 'does not exist'
  return problem(location, `the export "${location.export}" of ${shown(file)} ${found}; ${list}`, exports)
}

async function importWithin(file: string): Promise<Record<string, unknown>> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`it had not finished loading after ${IMPORT_TIMEOUT} ms`)),
      IMPORT_TIMEOUT,
    )
  })
  // A module that calls process.exit while it loads must not take the thread, and every other handler, with it.
  const { exit } = process
  process.exit = ((code?: number) => {
    throw new Error(`it called process.exit(${code ?? ''}) while it was loading`)
  }) as typeof process.exit
  try {
    // A timer that the module sets is nobody's, not even the job's whose turn it was to have the module imported.
    return await whose.run(null, () => Promise.race([import(file), late]))
  } finally {
    process.exit = exit
    clearTimeout(timer)
  }
}

/** The export by name; CommonJS modules hold theirs under `default`, sometimes twice. */
function pick(module: Record<string, unknown>, name: string): AnyHandler | undefined {
  const inner = module['default'] as Record<string, unknown> | undefined
  const found = [module[name], inner?.[name], name === 'default' ? inner : undefined].find(
    (value) => typeof value === 'function',
  )
  return found as AnyHandler | undefined
}

const SIBLINGS: Readonly<Record<string, string>> = {
  '.js': '.ts',
  '.ts': '.js',
  '.mjs': '.mts',
  '.mts': '.mjs',
  '.cjs': '.cts',
  '.cts': '.cjs',
}

/** The module's URL as written, or with its TypeScript or JavaScript sibling's ending: whichever is there. */
function existingFile(module: string): string | undefined {
  const { pathname } = new URL(module)
  const ending = /\.[cm]?[jt]s$/.exec(pathname)?.[0] ?? ''
  const sibling = SIBLINGS[ending]
  const candidates = sibling ? [module, module.replace(ending, sibling)] : [module]
  return candidates.find((candidate) => existsSync(fileURLToPath(candidate)))
}

function shown(module: string): string {
  return module.startsWith('file:') ? fileURLToPath(module) : module
}

function problem(
  location: HandlerLocation,
  what: string,
  exports: readonly string[] = [],
  cause?: unknown,
): Loaded {
  const message = `The handler of "${location.task}" cannot be run: ${what}.`
  const { task, module, export: name } = location
  return {
    error: new HandlerNotFoundError(
      [{ task, module: shown(module), export: name, message, exports }],
      cause === undefined ? {} : { cause },
    ),
  }
}
