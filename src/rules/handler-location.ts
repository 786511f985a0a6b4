/** Where the handler of a task is: what `defineTask` is given, read and checked, without touching the disk. */
import { fileURLToPath } from 'node:url'
import { describeValue, OptionsInvalidError } from '../words/errors.ts'

/** The place of a module: `new URL('./workers/name.js', import.meta.url)`, or the text of such a URL. A path is no URL. */
export type ModuleUrl = URL | `file://${string}`

/** Where a handler is: the module's URL, or that and the name of its export. Both `.js` and `.ts` are looked for. */
export type HandlerRef = ModuleUrl | { readonly module: ModuleUrl; readonly export?: string }

/** What `defineTask` may be given for a handler: a path is inferred, so that the compiler can say what is wrong with it. */
export type HandlerGiven = HandlerRef | string | { readonly module: string; readonly export?: string }

/** A handler as given, or, where it is a path, what to write instead: the compiler shows that. */
export type CheckedHandler<Given> = Given extends HandlerRef
  ? Given
  : "a path is no URL; write new URL('./workers/name.js', import.meta.url)"

const KNOWN = ['module', 'export']

/**
 * The module's URL and the export's name.
 *
 * @throws OptionsInvalidError when it is not the URL of a file, or the export's name is none.
 */
export function handlerLocation(task: string, ref: HandlerRef): { module: string; export: string } {
  const refuse = (what: string, options: { cause?: unknown } = {}): never => {
    throw new OptionsInvalidError(`defineTask: the handler of "${task}" ${what}`, 'handler', options)
  }
  const { given, name } = read(ref, refuse)
  if (typeof name !== 'string' || name === '')
    return refuse(`has an export that is ${describeValue(name)}; expected the name of an export.`)
  const module = typeof given === 'string' ? given : undefined
  if (module === undefined || !module.startsWith('file:')) {
    return refuse(
      /^https?:/.test(module ?? '')
        ? `is ${describeValue(module)}, and must be the URL of a file. You are in a browser-like test environment, where import.meta.url is the URL of a page: put // @vitest-environment node at the top of the test file.`
        : `is ${describeValue(given)}; it must be the URL of a file. Write new URL('./workers/name.js', import.meta.url).`,
    )
  }
  try {
    fileURLToPath(module)
  } catch (cause) {
    refuse(
      `is ${describeValue(module)}, which is not the path of a file here: ${(cause as Error).message}.`,
      {
        cause,
      },
    )
  }
  return { module, export: name }
}

/** What a reference holds. Its getters may be anybody's. */
function read(
  ref: unknown,
  refuse: (what: string, options?: { cause?: unknown }) => never,
): { given: unknown; name: unknown } {
  let unknown: string | undefined
  try {
    const alone = hrefOf(ref)
    if (alone !== undefined) return { given: alone, name: 'default' }
    unknown = Object.keys(ref as object).find((key) => !KNOWN.includes(key))
    if (unknown === undefined) {
      const { module, export: name = 'default' } = ref as { module?: unknown; export?: unknown }
      return { given: hrefOf(module) ?? module, name }
    }
  } catch (cause) {
    refuse(`cannot be read: ${describeValue(cause)}.`, { cause })
  }
  return refuse(`has an unknown key "${unknown}". Known: ${KNOWN.join(', ')}.`)
}

/** The text of a URL, of whichever realm or library its class is. */
function hrefOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  if (typeof value !== 'object' || value === null) return undefined
  const href: unknown = Reflect.get(value, 'href')
  return typeof href === 'string' ? href : undefined
}
