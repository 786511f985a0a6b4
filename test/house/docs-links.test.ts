import { existsSync } from 'node:fs'
import { posix } from 'node:path'
import { describe, expect, test } from 'vitest'
import { projectFiles, read, root } from './tree.ts'

const documents = projectFiles(/^(?:[^/]+|(?:docs|examples)\/.*)\.md$/)
const files = new Set(projectFiles())

describe('the documents', () => {
  test('link only to files and headings that are there', () => {
    expect(documents.flatMap((document) => brokenLinks(document))).toEqual([])
  })

  test('in docs can all be reached from docs/README.md', () => {
    const seen = new Set<string>()
    const visit = (document: string): void => {
      if (seen.has(document) || !documents.includes(document)) return
      seen.add(document)
      for (const { file } of linksOf(document)) visit(file)
    }
    visit('docs/README.md')
    expect(documents.filter((document) => document.startsWith('docs/') && !seen.has(document))).toEqual([])
  })
})

describe('the check of links', () => {
  test.each([
    ['Two clocks', 'two-clocks'],
    ['`when`, or: what?', 'when-or-what'],
    ['1. Jobs belong to the request', '1-jobs-belong-to-the-request'],
  ])('finds the heading "%s" under #%s', (heading, anchor) => {
    expect(anchorOf(heading)).toBe(anchor)
  })
})

/** The links of a document that stay in this project. */
function linksOf(document: string): { shown: string; file: string; anchor: string }[] {
  const prose = read(document).replace(/^```[\s\S]*?^```/gm, '')
  return [...prose.matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)/g)].map(
    ([shown, path = '', anchor = '']) => ({
      shown,
      file: path === '' ? document : posix.join(posix.dirname(document), path),
      anchor,
    }),
  )
}

function brokenLinks(document: string): string[] {
  return linksOf(document)
    .filter(({ file, anchor }) => {
      if (!(files.has(file) || existsSync(root + file))) return true
      return anchor !== '' && !anchorsOf(file).includes(anchor)
    })
    .map(({ shown }) => `${document}: ${shown}`)
}

function anchorsOf(file: string): string[] {
  const prose = read(file).replace(/^```[\s\S]*?^```/gm, '')
  return [...prose.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => anchorOf(heading))
}

/** As the usual Markdown hosts make it. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\w\- ]/g, '')
    .replaceAll(' ', '-')
}
