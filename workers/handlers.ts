/**
 * Finds and imports the handlers of a thread. Whatever is wrong with one fails the jobs of its own tasks alone. Node
 * remembers a module that could not be imported, and so does the thread: it takes another thread to try again.
 */
import { types } from 'node:util'
import type { HandlerLocation, LaneProblem, LaneSetup } from '../src/rules/protocol.ts'
import { toWireError } from '../src/rules/wire-error.ts'
import { HandlerNotFoundError } from '../src/words/errors.ts'
import { handlerFiles, isRefusedTypeScript, shown } from './handler-files.ts'
import type { AnyHandler, LoadedHandlers } from './loaded-handlers.ts'
import * as pristine from './pristine.ts'
import { Rehearsal } from './rehearsal.ts'
import { ImportedModule, whose } from './whose.ts'

/** Whom the imports are told to while the thread starts. */
export interface ImportHost {
  /** From now on the handler of this task is imported; NO_TASK: none is. */
  importing(task: number): void
  /** Ends the thread: the module of this task has ruined it. */
  ruined(task: number, why: string): never
}

// How long a module that has left something behind, such as a connection that is being made, may take to fail.
const AFTERMATH = 20

type Loaded = { readonly handler: AnyHandler } | { readonly error: HandlerNotFoundError }

/** What `importing` is told once nothing is imported any more. */
const NO_TASK = -1

/** Imports every handler, or with `warmUp` off only looks whether the files are there and imports at the first job. */
export async function loadHandlers(
  { handlers: locations, warmUp, importTimeout }: Pick<LaneSetup, 'handlers' | 'warmUp' | 'importTimeout'>,
  host: ImportHost,
): Promise<LoadedHandlers> {
  const handlers = new Handlers(locations, importTimeout, host)
  if (warmUp) await handlers.loadAll()
  return handlers
}

class Handlers implements LoadedHandlers {
  readonly names: readonly string[]
  readonly #locations: readonly (HandlerLocation | null)[]
  readonly #loaded: (Loaded | Promise<Loaded> | undefined)[] = []
  /** The modules that were imported. A list: what was imported may have broken how one goes through a Map. */
  readonly #imported: ImportedModule[] = []
  // Lists, for the same reason.
  readonly #remembered: unknown[] = []
  readonly #ruinous: unknown[] = []

  // A module that never finishes its top-level await would keep the whole thread from coming up.
  readonly #timeout: number
  readonly #host: ImportHost

  constructor(locations: readonly (HandlerLocation | null)[], timeout: number, host: ImportHost) {
    this.#locations = locations
    this.#timeout = timeout
    this.#host = host
    this.names = locations.map((location) => location?.task ?? '')
    for (const [task, location] of locations.entries()) {
      if (location === null) continue
      const files = lookFor(location)
      if ('error' in files) this.#loaded[task] = files
    }
  }

  get problems(): readonly LaneProblem[] {
    const problems: LaneProblem[] = []
    for (const result of this.#loaded) {
      if (result === undefined || !('error' in result)) continue
      const { error } = result
      const cause = error.cause === undefined ? {} : { cause: toWireError(error.cause) }
      for (const { task, module, export: name, message, exports } of error.problems) {
        problems.push({ task, module, export: name, message, exports, ...cause })
      }
    }
    return problems
  }

  async loadAll(): Promise<void> {
    const rehearsal = new Rehearsal(rehearseLoading)
    const before = leftBehind()
    // No iterator and no method of an array in here: what was imported may have broken them.
    for (let task = 0; task < this.#locations.length; task++) {
      const location = this.#locations[task]
      if (location === null || location === undefined || this.#loaded[task] !== undefined) continue
      this.#host.importing(task)
      try {
        this.#loaded[task] = await this.#import(location)
        await rehearsal.run()
      } catch (thrown) {
        this.#host.ruined(task, ruinedBy(thrown))
      }
    }
    this.#host.importing(NO_TASK)
    await aftermath(before)
    rehearsal.close()
    for (const [task, location] of this.#locations.entries()) {
      const result = this.#loaded[task]
      if (location !== null && result !== undefined && !(result instanceof Promise))
        this.#loaded[task] = this.#judge(location, result)
    }
    for (const module of this.#imported) module.isLoading = false
  }

  get(task: number): AnyHandler | Promise<AnyHandler> {
    const known = this.#loaded[task]
    if (known !== undefined && 'handler' in known) return known.handler
    // A file that was not there has not been imported either: it may have come since.
    const asked =
      known === undefined || ('error' in known && !this.isRemembered(known.error)) ? this.#load(task) : known
    this.#loaded[task] = asked
    if (asked instanceof Promise) return this.#whenLoaded(task, asked)
    return handlerIn(asked)
  }

  async #whenLoaded(task: number, asked: Promise<Loaded>): Promise<AnyHandler> {
    const result = await asked
    this.#loaded[task] = result
    return handlerIn(result)
  }

  isRemembered(error: unknown): boolean {
    return isIn(this.#remembered, error)
  }

  hasRuined(error: unknown): boolean {
    return isIn(this.#ruinous, error)
  }

  #load(task: number): Loaded | Promise<Loaded> {
    const location = this.#locations[task] as HandlerLocation
    const files = lookFor(location)
    if ('error' in files) return files
    return this.#loadNow(location)
  }

  async #loadNow(location: HandlerLocation): Promise<Loaded> {
    const rehearsal = new Rehearsal(rehearseLoading)
    const before = leftBehind()
    const result = await this.#import(location)
    await aftermath(before)
    try {
      await rehearsal.run()
    } catch (thrown) {
      const ruin = notLoaded(location, location.module, new Error(ruinedBy(thrown)))
      this.#ruinous[this.#ruinous.length] = ruin.error
      return ruin
    } finally {
      rehearsal.close()
    }
    const judged = this.#judge(location, result)
    for (const module of this.#imported) {
      if (module.tasks.includes(location.task)) module.isLoading = false
    }
    return judged
  }

  /** Imports a handler from the first of its files that Node agrees to run. */
  async #import(location: HandlerLocation): Promise<Loaded> {
    const files = lookFor(location)
    if ('error' in files) return files
    let failure: { file: string; cause: unknown } | undefined
    for (const file of files) {
      try {
        const handler = handlerOf(await this.#importFile(location, file), location, file)
        return 'error' in handler ? this.#remember(handler) : handler
      } catch (cause) {
        // What is wrong with the first is told: the second is there by chance, or was not built anew.
        failure ??= { file, cause }
        if (!isRefusedTypeScript(cause)) break
      }
    }
    return this.#remember(notLoaded(location, failure?.file ?? location.module, failure?.cause))
  }

  async #importFile(location: HandlerLocation, file: string): Promise<Record<string, unknown>> {
    const module = this.#moduleIn(file)
    if (!module.tasks.includes(location.task)) module.tasks.push(location.task)
    const late = pristine.withResolvers<never>()
    const why = `it had not finished loading after ${this.#timeout} ms; does a top-level await never end?`
    const timer = pristine.setTimeout(() => late.reject(new Error(why)), this.#timeout)
    try {
      // What the module sets going is its own, not the job's whose turn it was to have the module imported.
      return await whose.run(module, () =>
        pristine.race(pristine.race(import(file), module.escaped), late.promise),
      )
    } finally {
      pristine.clearTimeout(timer)
    }
  }

  #moduleIn(file: string): ImportedModule {
    const known = this.#imported.find(({ url }) => url === file)
    if (known !== undefined) return known
    const module = new ImportedModule(file, shown(file))
    this.#imported.push(module)
    return module
  }

  /** A module whose error escaped right after it was imported is not loaded, although it exports what it should. */
  #judge(location: HandlerLocation, result: Loaded): Loaded {
    if ('error' in result) return result
    for (const module of this.#imported) {
      if (module.error === undefined || !module.tasks.includes(location.task)) continue
      const names = module.tasks.map((task) => `"${task}"`).join(', ')
      const during = `an error escaped while the handler of ${names} was imported: `
      return this.#remember(notLoaded(location, module.shown, module.error.thrown, during))
    }
    return result
  }

  #remember(result: { readonly error: HandlerNotFoundError }): Loaded {
    this.#remembered[this.#remembered.length] = result.error
    return result
  }
}

function isIn(list: readonly unknown[], value: unknown): boolean {
  for (let at = 0; at < list.length; at++) if (list[at] === value) return true
  return false
}

type Problem = { readonly error: HandlerNotFoundError }

function handlerIn(result: Loaded): AnyHandler {
  if ('error' in result) throw result.error
  return result.handler
}

/** The files of a handler: at least one, or what is wrong. */
function lookFor(location: HandlerLocation): readonly string[] | Problem {
  if (location.leftOut !== undefined) {
    return problem(location, `the module ${shown(location.module)} could not be loaded: ${location.leftOut}`)
  }
  try {
    const files = handlerFiles(location.module)
    if (files.length > 0) return files
    return problem(location, `the module ${shown(location.module)} does not exist (looked for .js and .ts)`)
  } catch (cause) {
    return problem(location, `the module ${location.module} is no file: ${inWords(cause)}`, [], cause)
  }
}

function notLoaded(location: HandlerLocation, file: string, cause: unknown, during = ''): Problem {
  const what = `the module ${shown(file)} could not be loaded: ${during}${inWords(cause)}${hint(file, cause)}`
  return problem(location, what, [], cause)
}

/** Node drops types and leaves imports as they are: an import of a type is one of a value that is not there. */
function hint(file: string, cause: unknown): string {
  const missing = /does not provide an export named '(.+)'/.exec(inWords(cause))?.[1]
  if (missing === undefined || !/\.[cm]?ts$/.test(file)) return ''
  return `. If ${missing} is a type, write: import type { ${missing} }`
}

/** The export by name; CommonJS modules hold theirs under `default`, sometimes twice. */
function handlerOf(
  module: Record<string, unknown>,
  location: HandlerLocation,
  file: string,
): Loaded | Problem {
  const { export: name } = location
  const inner = module['default'] as Record<string, unknown> | undefined
  const found = [module[name], inner?.[name], name === 'default' ? inner : undefined].find(
    (value) => typeof value === 'function',
  )
  const what = `the export "${name}" of ${shown(file)}`
  if (isClass(found))
    return problem(location, `${what} is a class, and a handler is called: export a function`)
  if (types.isGeneratorFunction(found))
    return problem(
      location,
      `${what} is a generator, which nobody would run: export a plain or async function`,
    )
  if (found !== undefined) return { handler: found as AnyHandler }
  const exports = Object.keys(module).sort((a, b) => a.localeCompare(b))
  const list = exports.length > 0 ? `it exports: ${exports.join(', ')}` : 'it exports nothing'
  const state = name in module ? 'is not a function' : 'does not exist'
  return problem(location, `${what} ${state}; ${list}`, exports)
}

const { toString: sourceOf } = Function.prototype

function isClass(value: unknown): boolean {
  return typeof value === 'function' && /^class\b/.test(sourceOf.call(value))
}

function inWords(thrown: unknown): string {
  try {
    return thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown)
  } catch {
    return 'a value that has no text'
  }
}

function problem(
  location: HandlerLocation,
  what: string,
  exports: readonly string[] = [],
  cause?: unknown,
): Problem {
  const message = `The handler of "${location.task}" cannot be run: ${what}.`
  const { task, module, export: name } = location
  const facts = { task, module: shown(module), export: name, message, exports }
  return { error: new HandlerNotFoundError([facts], cause === undefined ? {} : { cause }) }
}

/** What this file does for the import of a handler; true when it comes to what it should. */
function rehearseLoading(): boolean {
  const { url } = import.meta
  const location = { task: 'rehearsed', module: url, export: 'default' }
  const files = lookFor(location)
  const handler = handlerOf({ default: rehearseLoading }, location, url)
  const missing = handlerOf({}, location, url)
  return !('error' in files) && files.length > 0 && 'handler' in handler && 'error' in missing
}

/** What is wrong with a module after whose import a rehearsed job has come to this. */
function ruinedBy(thrown: unknown): string {
  return `after its import no job can run in the same thread (${inWords(thrown)}); does it replace what the language brings, such as a method of Array?`
}

/** How many things keep this thread's loop alive, such as timers and connections. */
function leftBehind(): number {
  return process.getActiveResourcesInfo().length
}

/** Gives what was imported its chance to throw: a turn or two, and a little longer where something was left going. */
async function aftermath(before: number): Promise<void> {
  for (let turns = 0; turns < 2; turns++) {
    await pristine.turn()
  }
  if (leftBehind() <= before) return
  const { promise, resolve } = pristine.withResolvers<void>()
  pristine.setTimeout(resolve, AFTERMATH)
  await promise
}
