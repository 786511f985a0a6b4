/** Where the files are. Every path is made from an id that the server drew: nothing that a client sends becomes one. */
import { mkdir, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

// The environment is the same in the server and in the threads, so both find the same folders.
const data = process.env.PHOTOS_DATA ?? fileURLToPath(new URL('./data/', import.meta.url))
const HOUR = 3_600_000

/** A photograph that is not finished: the upload, and sizes as they are made. */
export function workFolder(photo: string): string {
  return join(data, 'incoming', photo)
}

/** A photograph that is finished. It is moved here whole, so that nobody ever sees half of one. */
export function photoFolder(photo: string): string {
  return join(data, 'photos', photo)
}

/** The file of one size, or of the original, in one of the folders. */
export function jpegIn(folder: string, size: string): string {
  return join(folder, `${size}.jpg`)
}

/** Removes what is left of a photograph that will not be finished. Of a finished one, nothing is left here. */
export async function discard(photo: string): Promise<void> {
  await rm(workFolder(photo), { recursive: true, force: true })
}

/**
 * Makes the folders, and removes uploads that an earlier process left behind: the memory broker forgot their jobs
 * with it. Younger ones may belong to a server that still runs.
 */
export async function prepareFolders(): Promise<void> {
  await mkdir(join(data, 'photos'), { recursive: true })
  await mkdir(join(data, 'incoming'), { recursive: true })
  for (const photo of await readdir(join(data, 'incoming'))) {
    const { mtimeMs } = await stat(workFolder(photo))
    if (mtimeMs < Date.now() - HOUR) await discard(photo)
  }
}
