/** The files of this project, and what they import: read as text, so that nothing has to build or even compile. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The project's root folder, with a slash at its end. */
export const root: string = fileURLToPath(new URL('../../', import.meta.url))

let listed: readonly string[] | undefined

/** Every file that is, or is about to be, under version control: relative paths, as they are at the first call. */
export function projectFiles(matching = /./): string[] {
  listed ??= gitFiles('--cached', '--others', '--exclude-standard')
    .difference(gitFiles('--deleted'))
    .values()
    .toArray()
  return listed.filter((file) => matching.test(file))
}

// A file that is deleted but not yet committed is still listed among the others.
function gitFiles(...which: readonly string[]): Set<string> {
  const files = execFileSync('git', ['ls-files', '-z', ...which], { cwd: root, encoding: 'utf8' })
  return new Set(files.split('\0').filter((file) => file !== ''))
}

/** A file's text. */
export function read(file: string): string {
  return readFileSync(root + file, 'utf8')
}

/** The text with its comments blanked out, line breaks kept. A `//` inside a string on one line is no comment. */
export function withoutComments(text: string): string {
  const tokens = /'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g
  return text.replace(tokens, (token) => (token.startsWith('/') ? token.replace(/[^\n]/g, ' ') : token))
}

/** What a module imports or re-exports, types included, static or dynamic: the specifiers as they are written. */
export function importsOf(text: string): string[] {
  const code = withoutComments(text)
  const patterns = [
    /(?:^|[\n;])\s*(?:import|export)\b[^'"`;=()]*?\bfrom\s*['"]([^'"]+)['"]/g,
    /(?:^|[\n;])\s*import\s*['"]([^'"]+)['"]/g,
    /\bimport\s*\(\s*['"`]([^'"`]+)['"`]/g,
  ]
  return patterns.flatMap((pattern) => [...code.matchAll(pattern)].map((match) => match[1] ?? ''))
}

/** Where a relative specifier leads, as a path in this project; null for a package. */
export function resolveImport(from: string, specifier: string): string | null {
  return specifier.startsWith('.') ? posix.join(posix.dirname(from), specifier) : null
}
