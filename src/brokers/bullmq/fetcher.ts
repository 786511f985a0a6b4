/** A fetcher: how the jobs of one queue come to this process, and how they complete. */
import type { IQueueBackend, JobJson } from 'bullmq'

/** What BullMQ returns for a fetch: the job, its id, the rest of a rate limit, when the next delayed job is due. */
export type Fetched = readonly [job?: JobJson | null, id?: string, limit?: number, until?: number]

/** What has come for a token. */
export type Claim = readonly [token: string, taken: Fetched]

/** A job that has completed. */
export interface Completed {
  readonly id: string
  readonly token: string
  /** Its `returnvalue`. */
  readonly value: object
  /** Another job is to be claimed in the same step, with the same token. */
  readonly fetchNext: boolean
}

/** A job that this process has. */
export interface Held {
  readonly id: string
  readonly token: string
  /** How often it had been fetched by then, this time included. */
  readonly starts: number
  /** How often its lease had run out by then. */
  readonly stalls: number
}

/** Fetches jobs of one queue, and completes them. */
export interface Fetcher {
  /** For everything that is done with one job at a time. */
  readonly backend: IQueueBackend
  /** Claims at most one job for each token. */
  claim(tokens: readonly string[]): Promise<readonly Claim[]>
  /** Resolves to the job that came with it. Rejects with BullMQ's code when the job is not ours any more. */
  complete(job: Completed): Promise<Fetched>
  /** Lets leases last for so many milliseconds from now on. Resolves to the ids of jobs that are not ours any more. */
  renew(held: readonly Held[], length: number): Promise<readonly string[]>
}

/** One call of BullMQ's for each job: what Redis is given in one turn, it gets in one piece. */
export class SingleFetcher implements Fetcher {
  readonly backend: IQueueBackend
  readonly #name: string

  /** `name` is noted on the jobs that are fetched. */
  constructor(backend: IQueueBackend, name: string) {
    this.backend = backend
    this.#name = name
  }

  async claim(tokens: readonly string[]): Promise<readonly Claim[]> {
    const asked = tokens.map(async (token): Promise<Claim> => {
      const taken = await this.backend.moveToActive(token, this.#name)
      return [token, taken as unknown as Fetched]
    })
    const answers = await Promise.allSettled(asked)
    const claims = answers.filter((answer) => answer.status === 'fulfilled').map(({ value }) => value)
    if (claims.length === 0) throw new Error('Nothing could be fetched.')
    return claims
  }

  async complete({ id, token, value, fetchNext }: Completed): Promise<Fetched> {
    const job = { id, opts: { attempts: 1 } } as never
    const { result } = await this.backend.moveToCompleted(job, value, undefined as never, token, fetchNext)
    return (result ?? []) as unknown as Fetched
  }

  renew(held: readonly Held[], length: number): Promise<readonly string[]> {
    const ids = held.map(({ id }) => id)
    const tokens = held.map(({ token }) => token)
    return this.backend.extendLocks(ids, tokens, length)
  }
}
