/** `Retry-After` for a client that meets a full queue, whoever writes the answer. */
import { isA } from '../rules/arguments.ts'
import { QueueFullError } from '../words/errors.ts'
import type { AnyResponse } from './response-end.ts'

const HEADER = 'retry-after'

const offered = new WeakSet<AnyResponse>()

/**
 * Sees to it that the response has a `Retry-After` header when the error says after how many seconds a retry has a chance, and
 * the answer is 503 or 429. Whether it will be is known only when its head is written: a handler may catch the error and
 * answer otherwise. A header that is set by hand stays.
 */
export function offerRetry(res: AnyResponse, error: unknown): void {
  const seconds = secondsOf(error)
  if (seconds === undefined || res.headersSent || offered.has(res)) return
  offered.add(res)
  const beforeHead = (status: number): void => {
    if (!res.headersSent && (status === 503 || status === 429) && !res.hasHeader(HEADER)) {
      res.setHeader(HEADER, String(seconds))
    }
  }
  const { writeHead } = res
  // Node writes an implicit head through this as well.
  res.writeHead = ((status: number, ...rest: unknown[]) => {
    beforeHead(status)
    return Reflect.apply(writeHead, res, [status, ...rest])
  }) as typeof res.writeHead
  if (!('stream' in res)) return
  // But not HTTP/2, when there is no body.
  const { end } = res
  res.end = ((...args: unknown[]) => {
    beforeHead(res.statusCode)
    return Reflect.apply(end, res, args)
  }) as typeof res.end
}

function secondsOf(error: unknown): number | undefined {
  // Only our own: what else an error has may be a getter that throws.
  if (!isA(error, QueueFullError)) return undefined
  const { retryAfter } = error
  return typeof retryAfter === 'number' && retryAfter >= 0 ? Math.ceil(retryAfter) : undefined
}
