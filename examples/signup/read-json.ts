/** Reads the body of a request as JSON, up to a limit. */
import type { IncomingMessage } from 'node:http'

const LIMIT = 100_000

/** Resolves to what the body says. Rejects with a `status` of 400 when it is no JSON, of 413 when it is too large. */
export async function readJson(req: IncomingMessage): Promise<unknown> {
  let size = 0
  const chunks: Buffer[] = []
  // The connection is needed for the answer, so leaving the loop early must not destroy the request.
  for await (const chunk of req.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > LIMIT) throw refusal(413, `The body is larger than ${LIMIT} bytes.`)
    chunks.push(chunk)
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString())
  } catch (error) {
    throw refusal(400, `The body is not JSON: ${(error as Error).message}`)
  }
}

function refusal(status: number, message: string): Error {
  return Object.assign(new Error(message), { status })
}
