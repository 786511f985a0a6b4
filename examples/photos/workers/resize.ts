/** Runs in a thread: decodes a photograph and writes three sizes of it. All of it is JavaScript, and heavy on purpose. */
import { readFile, rename, writeFile } from 'node:fs/promises'
import type { Handler, ResultOf } from 'aftertask'
import { UnrecoverableError } from 'aftertask/errors'
import { decode, encode } from 'jpeg-js'
import { discard, jpegIn, photoFolder, workFolder } from '../folders.ts'
import { type Picture, shrink } from '../pixels.ts'
import { type resizePhoto, sizes } from '../tasks.ts'

const QUALITY = 82
const END_OF_IMAGE = Buffer.from([0xff, 0xd9])
const START_OF_SCAN = Buffer.from([0xff, 0xda])

const handler: Handler<typeof resizePhoto> = async ({ photo }, { progress, signal }) => {
  const folder = workFolder(photo)
  try {
    const original = decodePhoto(await readFile(jpegIn(folder, 'original')))
    progress(0.4)
    const made: ResultOf<typeof resizePhoto>['sizes'] = []
    for (const [name, width] of Object.entries(sizes)) {
      // A place to stop at: a timeout, a cancel or a shutdown shows here.
      signal.throwIfAborted()
      const picture = shrink(original, width)
      const { data } = encode(picture, QUALITY)
      await writeFile(jpegIn(folder, name), data)
      made.push({
        name,
        width: picture.width,
        height: picture.height,
        bytes: data.length,
        url: `/photos/${photo}/${name}`,
      })
      progress(0.4 + (0.6 * made.length) / Object.keys(sizes).length)
    }
    // The last step, and one that cannot be seen half done.
    await rename(folder, photoFolder(photo))
    return { photo, width: original.width, height: original.height, sizes: made }
  } catch (error) {
    await discard(photo)
    throw error
  }
}
export default handler

function decodePhoto(bytes: Buffer): Picture {
  // A scan ends with a marker that cannot occur within it. Without one the file was cut off.
  if (bytes.lastIndexOf(END_OF_IMAGE) < bytes.lastIndexOf(START_OF_SCAN)) {
    throw new UnrecoverableError('The photograph is truncated: the file ends before the picture does.')
  }
  try {
    // The limits are against small files that claim to be huge pictures.
    return decode(bytes, {
      useTArray: true,
      tolerantDecoding: false,
      maxResolutionInMP: 50,
      maxMemoryUsageInMB: 1024,
    })
  } catch (error) {
    // The same bytes would fail again: whatever `retry` says, there is no use in another attempt.
    throw new UnrecoverableError(`The photograph cannot be decoded: ${(error as Error).message}`, {
      cause: error,
    })
  }
}
