/** What Polka answers to an error when it has no `onError` of its own. */
import { STATUS_CODES } from 'node:http'
import { types } from 'node:util'
import { memberOf } from '../words/describe.ts'
import type { AnyRequest, AnyResponse } from './response-end.ts'

/** Answers as Polka does: 1.0 reads `status` of the error, 0.5 `code` as well. */
export function answer(error: unknown, _req: AnyRequest, res: Pick<AnyResponse, 'statusCode' | 'end'>): void {
  const given = [memberOf(error, 'status'), memberOf(error, 'code')].find(
    (value) => typeof value === 'number' && value >= 100 && value <= 999,
  )
  const statusCode = (given as number | undefined) ?? 500
  res.statusCode = statusCode
  const body =
    typeof error === 'string' || types.isUint8Array(error) ? error : asMessage(memberOf(error, 'message'))
  res.end(body.length > 0 ? body : (STATUS_CODES[statusCode] ?? ''))
}

function asMessage(message: unknown): string {
  return typeof message === 'object' || typeof message === 'symbol' ? '' : String(message || '')
}
