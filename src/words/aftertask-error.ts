/** The base of every error of this library. */
import { asText, memberOf } from './describe.ts'

/** What an error carries besides its code and its message. */
export interface ErrorDetails {
  /** The HTTP status that fits. */
  readonly status?: number
  /** What led to it. */
  readonly cause?: unknown
  /** What the author of the program can do about it. */
  readonly advice?: string
}

/** The base of every error of this library: catch it to tell our errors from your own. */
export class AftertaskError extends Error {
  /** A stable, upper-case code such as `ERR_QUEUE_FULL`. Match on this, never on the message. */
  readonly code: string
  // `declare`: errors without a status should not show an undefined one.
  /** The HTTP status that fits when this error reaches a client, when there is one. Polka, Express, Koa and h3 read it. */
  declare readonly status?: number
  /**
   * What the author of the program can do about it, in an error that a client may come to read: Polka answers with
   * `message`, which then says what happened and no more. Logs show both.
   */
  declare readonly advice?: string

  constructor(code: string, message: string, options: ErrorDetails = {}) {
    const read = readDetails(options)
    super(asText(message), 'cause' in read ? { cause: read.cause } : undefined)
    this.code = asText(code)
    if (read.status !== undefined) this.status = read.status
    if (read.advice !== undefined) this.advice = read.advice
  }

  /** The same as `status`, under the other name that frameworks look for. */
  get statusCode(): number | undefined {
    return this.status
  }

  /** True when a client may read the message: with a status below 500. Koa and NestJS ask, by the custom of `http-errors`. */
  get expose(): boolean | undefined {
    return this.status === undefined ? undefined : this.status < 500
  }

  // On the prototype, as the built-in errors have it: an own property would be printed twice by `inspect`.
  override get name(): string {
    return this.constructor.name
  }
}

/** The details of an error. Errors are made by callers too: whatever they are given, the error itself must come about. */
export function readDetails(options: unknown): ErrorDetails {
  const [cause, status, advice] = ['cause', 'status', 'advice'].map((key) => memberOf(options, key))
  return {
    ...(cause !== undefined && { cause }),
    ...(typeof status === 'number' && { status }),
    ...(typeof advice === 'string' && { advice }),
  }
}

/** True for an error, also where asking does harm. */
export function isError(value: unknown): boolean {
  try {
    return value instanceof Error
  } catch {
    return false
  }
}
