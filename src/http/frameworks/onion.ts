/** What the frameworks share whose middlewares await the rest of the chain: `await next()`. */
import type { OpenRequest } from '../open-request.ts'

/** What an adapter reads once the rest of the chain is over. */
export interface Told {
  /** The status that the framework will answer with, where it is known. */
  readonly status?: number | undefined
  /** An error that the framework has taken to its error handler, and does not throw. */
  readonly error?: unknown
}

/**
 * Runs the rest of a request, and tells the request what came of it: the error that the chain threw or that `read` finds, and
 * the status that the response does not have yet. Resolves and rejects as the chain does.
 */
export function throughChain<Result>(
  request: OpenRequest,
  next: () => Promise<Result>,
  read: (result: Result) => Told,
): Promise<Result> {
  const chain = request.run(async () => {
    try {
      const result = await next()
      const { status, error } = read(result)
      if (error !== undefined) request.fail(error)
      if (isStatus(status)) request.status(status)
      return result
    } catch (error) {
      request.fail(error)
      throw error
    }
  })
  request.follow(chain)
  return chain
}

/** A framework may hold anything as its status until it answers: what is none is left to the framework to refuse. */
function isStatus(status: unknown): status is number {
  return Number.isInteger(status) && (status as number) >= 100 && (status as number) <= 999
}
