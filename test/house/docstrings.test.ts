import { describe, expect, test } from 'vitest'
import { projectFiles, read, resolveImport } from './tree.ts'

const { exports: entries } = JSON.parse(read('package.json')) as {
  exports: Record<string, string | { types: string }>
}

describe('every public export has a docstring', () => {
  for (const [subpath, target] of Object.entries(entries)) {
    if (typeof target === 'string') continue
    const entry = target.types.replace('./dist/', '').replace(/\.d\.ts$/, '.ts')
    test(`of aftertask${subpath.slice(1)}`, () => {
      const missing = publicNames(entry).filter(({ name, file }) => !isSentence(docstring(read(file), name)))
      expect(missing.map(({ name, file }) => `${name} in ${file}`)).toEqual([])
    })
  }
})

describe('the check of docstrings', () => {
  const text = [
    '/** Runs a task after the response. */',
    'export function after(): void {}',
    '/**',
    ' * A broker that keeps its jobs in memory.',
    ' * @internal',
    ' */',
    'export class MemoryBroker {}',
    '/* Not a docstring. */',
    'export const plain = 1',
    '/** options */',
    'export interface Options {}',
    '/** Belongs to what follows it. */',
    'const between = 1',
    'export type Bare = typeof between',
  ].join('\n')

  test.each(['after', 'MemoryBroker'])('accepts the sentence above %s', (name) => {
    expect(isSentence(docstring(text, name))).toBe(true)
  })

  test.each(['plain', 'Options', 'Bare', 'absent'])('refuses what stands above %s', (name) => {
    expect(isSentence(docstring(text, name))).toBe(false)
  })

  test('follows re-exports, renames and stars', () => {
    const names = exportedNames(
      "export { a, type B, c as d } from './x.ts'\nexport type { E } from './y.ts'\nexport * from './z.ts'\nexport const f = 1",
    )
    expect(names).toEqual([
      { name: 'a', from: './x.ts' },
      { name: 'B', from: './x.ts' },
      { name: 'c', from: './x.ts' },
      { name: 'E', from: './y.ts' },
      { name: '*', from: './z.ts' },
      { name: 'f', from: null },
    ])
  })
})

interface Exported {
  name: string
  /** The module it comes from; null when it is declared here. */
  from: string | null
}

/** What a module exports, by the names that the declaring module knows them by. */
function exportedNames(text: string): Exported[] {
  const found: (Exported & { at: number })[] = []
  for (const match of text.matchAll(/^export (?:type )?\{([^}]*)\}(?:\s*from\s*'([^']+)')?/gm)) {
    for (const item of (match[1] ?? '').replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '').split(',')) {
      const name = item
        .trim()
        .replace(/^type /, '')
        .split(' as ')[0]
        ?.trim()
      if (name) found.push({ name, from: match[2] ?? importedFrom(text, name), at: match.index })
    }
  }
  for (const match of text.matchAll(/^export (?:type )?\* (?:as \w+ )?from '([^']+)'/gm)) {
    found.push({ name: '*', from: match[1] ?? null, at: match.index })
  }
  for (const match of text.matchAll(declarations('\\w+'))) {
    if (match[0].startsWith('export')) found.push({ name: match[1] ?? '', from: null, at: match.index })
  }
  return found.sort((a, b) => a.at - b.at).map(({ name, from }) => ({ name, from }))
}

/** For `import { x } from './y.ts'` with a bare `export { x }` further down. */
function importedFrom(text: string, name: string): string | null {
  for (const match of text.matchAll(/^import (?:type )?\{([^}]*)\} from '([^']+)'/gm)) {
    if (new RegExp(`\\b${name}\\b`).test(match[1] ?? '')) return match[2] ?? null
  }
  return null
}

function publicNames(entry: string): { name: string; file: string }[] {
  return exportedNames(read(entry)).flatMap(({ name, from }) => {
    if (from === null) return [{ name, file: entry }]
    const file = resolveImport(entry, from)
    if (file === null || !projectFiles(/^src\//).includes(file)) return []
    const there = publicNames(file)
    if (name === '*') return there
    // Declared there, or passed on by it from further down.
    return [there.find((candidate) => candidate.name === name) ?? { name, file }]
  })
}

function declarations(name: string): RegExp {
  const kinds =
    'async function\\*?|function\\*?|abstract class|class|interface|type|const enum|enum|const|let|namespace'
  return new RegExp(`^(?:export )?(?:declare )?(?:${kinds}) (${name})(?![\\w$])`, 'gm')
}

/** The docstrings that stand right above the declarations of a name: overloads and merged interfaces share one. */
function docstring(text: string, name: string): string {
  return [...text.matchAll(declarations(name))]
    .map(
      (match) =>
        /\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*(?:\/\/[^\n]*\s*)*$/.exec(text.slice(0, match.index))?.[1] ?? '',
    )
    .join('\n')
}

/** At least one sentence: a capital or code at its start, two words or more, and an end. */
function isSentence(comment: string): boolean {
  const prose = comment
    .split('\n')
    .map((line) => line.replace(/^\s*\*?\s?/, ''))
    .filter((line) => !line.startsWith('@'))
    .join(' ')
    .trim()
  return /^[A-Z`"'(].*[.:!?`)]/s.test(prose) && prose.split(/\s+/).length >= 2
}
