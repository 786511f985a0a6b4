/** A folder for the files of one test file. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll } from 'vitest'

/** A folder that is there while tests run. */
export interface TempFolder {
  /** The path of a file in it. */
  path(file: string): string
  /** The path of a file that no one has asked for before. */
  newFile(): string
}

/** Makes a folder before the tests of a file, and takes it away after them. */
export function tempFolder(name: string): TempFolder {
  let folder = ''
  let files = 0
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), `aftertask-${name}-`))
  })
  afterAll(() => rmSync(folder, { recursive: true }))
  const path = (file: string): string => join(folder, file)
  return { path, newFile: () => path(`file-${++files}`) }
}
