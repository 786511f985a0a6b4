/** Where a journal's file is, from what a user writes. */
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * The absolute path of a journal, as the working directory is now: what comes after `process.chdir` changes nothing.
 *
 * @throws Error with what was expected, for what is no path.
 */
export function journalPath(given: unknown): string {
  const path = pathOf(given)
  if (path === undefined || path === '') throw new Error('expected the path, or the file: URL, of a file')
  if (/(^|[/\\]):memory:$/.test(path))
    throw new Error(
      'a journal in memory would survive nothing. Leave broker out, which keeps jobs in memory, or name a file',
    )
  if (path.includes('\0')) throw new Error('expected a path without a null character')
  return resolve(path)
}

// A URL of another realm, as of a test environment, is told by its shape.
function pathOf(given: unknown): string | undefined {
  const text = typeof given === 'object' && given !== null ? Reflect.get(given, 'href') : given
  if (typeof text !== 'string' || (!text.startsWith('file:') && text !== given)) return undefined
  if (!text.startsWith('file:')) return text
  if (/[?#]/.test(text)) throw new Error('expected a file: URL without a query')
  try {
    return fileURLToPath(text)
  } catch (cause) {
    throw new Error(`expected the file: URL of a local file (${(cause as Error).message})`, { cause })
  }
}
