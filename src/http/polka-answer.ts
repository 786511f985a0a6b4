/** What Polka answers to an error when it has no `onError` of its own. */
import { STATUS_CODES } from 'node:http'
import type { AnyRequest, AnyResponse } from './response-end.ts'

/** Answers as Polka does: 1.0 reads `status` of the error, 0.5 `code` as well. */
export function answer(error: unknown, _req: AnyRequest, res: Pick<AnyResponse, 'statusCode' | 'end'>): void {
  const { status, code, message } = (error ?? {}) as { status?: unknown; code?: unknown; message?: unknown }
  const given = [status, code].find((value) => typeof value === 'number' && value >= 100 && value <= 999)
  const statusCode = (given as number | undefined) ?? 500
  res.statusCode = statusCode
  const body = typeof error === 'string' || Buffer.isBuffer(error) ? error : String(message || '')
  res.end(body.length > 0 ? body : (STATUS_CODES[statusCode] ?? ''))
}
