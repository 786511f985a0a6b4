/** What of a request travels with its jobs: who asked, the trace that it belongs to, and what the server chooses to send along. */
import { isA, isRecord, messageOf } from '../rules/arguments.ts'
import type { JobContext } from '../rules/job-record.ts'
import { describeValue, OptionsInvalidError } from '../words/errors.ts'
import { ignoreRejection, isThenable } from '../words/thenables.ts'
import type { AnyRequest } from './response-end.ts'

/** Reads the baggage of a request: small strings. What is undefined is left out. */
export type ReadBaggage = (req: AnyRequest) => Readonly<Record<string, string | undefined>> | undefined

const VISIBLE = /^[\x21-\x7e]{1,200}$/
// Version ff is forbidden; ids of zeros only mean that there is no trace.
const TRACEPARENT =
  /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[\x21-\x7e]{0,200})?$/

/**
 * Reads the context of a request: its own `id` when the server gave it one, else a sane `x-request-id` header; a valid
 * `traceparent` header; and the baggage. Undefined when there is nothing of it.
 *
 * @throws OptionsInvalidError when the baggage is not made of strings, or the baggage function throws (the `cause`).
 */
export function travellingContext(
  req: AnyRequest,
  readBaggage: ReadBaggage | undefined,
): JobContext | undefined {
  const requestId = sane(idOf(req)) ?? sane(header(req, 'x-request-id'))
  const traceparent = header(req, 'traceparent')
  const hasTrace = traceparent !== undefined && TRACEPARENT.test(traceparent)
  const baggage = readBaggage === undefined ? undefined : read(readBaggage, req)
  if (requestId === undefined && !hasTrace && baggage === undefined) return undefined
  return {
    ...(requestId === undefined ? {} : { requestId }),
    ...(hasTrace ? { traceparent } : {}),
    ...(baggage === undefined ? {} : { baggage }),
  }
}

// `req.headers` is put together at its first use, which costs more than the rest of adding a job; a server that does
// not ask for it should not pay. A header that comes twice is none: which one would count?
function header(req: AnyRequest, name: string): string | undefined {
  // A test double may have none.
  const rawHeaders: readonly string[] = req.rawHeaders ?? []
  let found: string | undefined
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const key = rawHeaders[at] as string
    if (key.length !== name.length || key.toLowerCase() !== name) continue
    if (found !== undefined) return undefined
    found = rawHeaders[at + 1]
  }
  return found
}

// What `memberOf` would find, but quicker: every request that adds a job is asked.
function idOf(req: AnyRequest & { readonly id?: unknown }): unknown {
  try {
    return req.id
  } catch {
    return undefined
  }
}

function sane(id: unknown): string | undefined {
  return typeof id === 'string' && VISIBLE.test(id) ? id : undefined
}

function read(readBaggage: ReadBaggage, req: AnyRequest): Record<string, string> | undefined {
  try {
    return checked(readBaggage(req))
  } catch (cause) {
    if (isA(cause, OptionsInvalidError)) throw cause
    throw new OptionsInvalidError(
      `afterResponse: the function baggage threw: ${messageOf(cause)}. It gets the request, and returns small strings.`,
      'baggage',
      { cause },
    )
  }
}

// A copy, so that what the caller does with its object later cannot be seen.
function checked(baggage: unknown): Record<string, string> | undefined {
  if (baggage === undefined || baggage === null) return undefined
  if (!isRecord(baggage)) {
    const isPromise = isThenable(baggage)
    if (isPromise) ignoreRejection(baggage)
    const remedy = isPromise ? ' Adding a job is synchronous: read it in a middleware before.' : ''
    throw new OptionsInvalidError(
      `afterResponse: baggage returned ${describeValue(baggage)}; expected an object of strings.${remedy}`,
      'baggage',
    )
  }
  const copy: Record<string, string> = {}
  for (const [key, value] of Object.entries(baggage as object)) {
    // What is not there is left out: `{ user: req.user?.id }` is how people write it.
    if (value === undefined) continue
    if (typeof value !== 'string') {
      throw new OptionsInvalidError(
        `afterResponse: baggage "${key}" is ${describeValue(value)}; expected a string.`,
        `baggage.${key}`,
      )
    }
    copy[key] = value
  }
  return Object.keys(copy).length === 0 ? undefined : copy
}
