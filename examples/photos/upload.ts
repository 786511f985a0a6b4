/** Takes the body of a request as a photograph: straight to the disk, a chunk at a time, and never more than the limit. */
import { randomUUID } from 'node:crypto'
import { type FileHandle, mkdir, open } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { discard, jpegIn, workFolder } from './folders.ts'

/** Bytes of an upload at most. */
export const LIMIT = 10 * 1024 * 1024
const JPEG_SIGNATURE = Buffer.from([0xff, 0xd8, 0xff])
/** Milliseconds that a refused client may go on sending, so that it reads the answer before the connection ends. */
const LINGER = 2000

/** What the client did wrong: `status` is what it is told, by the app's error handler. */
class UploadError extends Error {
  readonly status: 400 | 413 | 415

  constructor(status: 400 | 413 | 415, message: string) {
    super(message)
    this.status = status
  }
}

/** Receives a photograph and resolves to the id that it gets. Rejects with a `status` and leaves nothing behind otherwise. */
export async function receive(req: IncomingMessage): Promise<string> {
  const photo = randomUUID()
  try {
    checkHeaders(req)
    await mkdir(workFolder(photo))
    const file = await open(jpegIn(workFolder(photo), 'original'), 'wx')
    await copyBody(req, file).finally(() => file.close())
    return photo
  } catch (error) {
    await discard(photo)
    discardRest(req)
    throw error
  }
}

function checkHeaders({ headers }: IncomingMessage): void {
  const [type] = (headers['content-type'] ?? '').split(';')
  if (type?.trim().toLowerCase() !== 'image/jpeg') {
    throw new UploadError(415, 'Send a JPEG photograph, with the header content-type: image/jpeg.')
  }
  // Most clients say beforehand how much they will send. The limit below is for those that do not, or lie.
  if (Number(headers['content-length'] ?? 0) > LIMIT) throw tooLarge()
}

async function copyBody(req: IncomingMessage, file: FileHandle): Promise<void> {
  let size = 0
  let head = Buffer.alloc(0)
  // Leaving the loop early must not destroy the request: the connection is needed for the answer.
  for await (const chunk of req.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > LIMIT) throw tooLarge()
    if (head.length < JPEG_SIGNATURE.length) {
      head = Buffer.concat([head, chunk]).subarray(0, JPEG_SIGNATURE.length)
      if (!JPEG_SIGNATURE.subarray(0, head.length).equals(head)) throw notJpeg()
    }
    await file.writeFile(chunk)
  }
  if (size === 0) throw new UploadError(400, 'The upload is empty.')
  if (head.length < JPEG_SIGNATURE.length) throw notJpeg()
}

/** Reads on and throws away what still comes, for a while: a client that is cut off while it sends sees no answer. */
function discardRest(req: IncomingMessage): void {
  const timer = setTimeout(() => req.destroy(), LINGER)
  req.once('close', () => clearTimeout(timer))
  req.resume()
}

function tooLarge(): UploadError {
  return new UploadError(413, `The photograph is larger than ${LIMIT / 1024 / 1024} MB.`)
}

function notJpeg(): UploadError {
  return new UploadError(415, 'The upload is not a JPEG photograph.')
}
