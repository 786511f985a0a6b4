import { existsSync, globSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { projectFiles, read, root, withoutComments } from './tree.ts'

const texts = projectFiles().filter((file) => !/\.(?:jpe?g|png|gif|ico|woff2?|gz|tgz|sqlite)$/.test(file))

/** Lines that match, as `file:line: text`. */
function lines(files: string[], pattern: RegExp, textOf: (file: string) => string = read): string[] {
  return files.flatMap((file) =>
    textOf(file)
      .split('\n')
      .map((line, index) => ({ line, at: index + 1 }))
      .filter(({ line }) => pattern.test(line))
      .map(({ line, at }) => `${file}:${at}: ${line.trim().slice(0, 120)}`),
  )
}

describe('no file', () => {
  test('names a folder of the machine that it was written on', () => {
    expect(lines(texts, /(?<![\w.$}-])\/(?:work|root|home)\/|file:\/\/\/(?:work|root|home)\b/)).toEqual([])
  })

  test('names the host of a package registry', () => {
    expect(
      lines(texts, /\b(?:npmjs\.(?:org|com)|yarnpkg\.com|npmmirror\.com|(?:deb|security)\.debian\.org)\b/),
    ).toEqual([])
  })

  test('of the tests keeps the others from running', () => {
    const tests = texts.filter((file) => /^test\/.*\.ts$/.test(file))
    expect(lines(tests, /\b(?:test|it|describe|suite|bench)(?:\.\w+)*\.only\b/)).toEqual([])
  })
})

describe('a public type', () => {
  test('never gives any to a caller, nor takes it', () => {
    expect(existsSync(`${root}dist/src/index.d.ts`), 'there is no build to look at: npm run build').toBe(true)
    const build = globSync('dist/src/**/*.d.ts', { cwd: root })
    const code = (file: string): string => withoutComments(readFileSync(root + file, 'utf8'))
    // As an argument of a generic constraint it can be needed; as what a caller holds it never is.
    expect(
      lines(build, /(?::|=>)\s*(?:readonly\s+)?any\b(?!\s*[:?(])|\b(?:Array|Promise)<any>/, code),
    ).toEqual([])
  })
})
