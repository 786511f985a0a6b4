/** Ends jobs of one queue in Redis, those of one turn in one command. */
import type { IQueueBackend } from 'bullmq'
import type { Redis } from 'ioredis'
import { type RawJob, toReturnValue, toStored } from '../bullmq-jobs.ts'
import { Gather } from '../gather.ts'
import { parsed } from '../progress-mark.ts'
import { faultOf } from '../refusals.ts'
import { type Claimed, isBatchLock, type StoredEnding } from '../shared-store.ts'
import type { StoredJob } from '../stored-job.ts'
import { endMany, lockKey, type Scripts, TAKE } from './scripts.ts'

// So many at a time, that the store works on some while the next are made.
const MOST = 25
const COMMAND = 'aftertask:endMany'

/** The end of one job. */
export interface End extends StoredEnding {
  readonly id: string
  readonly token: string
  /** No process has the job: it is taken for so many milliseconds first. */
  readonly take?: number
}

/** Where the jobs are. */
export interface RedisQueue {
  readonly redis: Redis
  /** BullMQ's scripts. */
  readonly scripts: Scripts
  readonly prefix: string
  readonly queue: string
  /** Is noted on the jobs that are claimed. */
  readonly name: string
  readonly lease: number
  keep(): { readonly count: number; readonly age?: number }
  /** The time by the store's clock, in milliseconds since 1970. */
  wall(): number
  backend(): IQueueBackend
  leave(lock: string, queue: string, id: string, stop: boolean): Promise<void>
}

/** What BullMQ's script answers: a code, or what it has fetched. */
type Answer = number | readonly [fields: readonly string[] | 0, id: string, limit: number, until: number]
type Command = (this: Redis, ...args: (string | number)[]) => Promise<readonly (Answer | Error)[]>

/** Ends jobs. */
export class RedisEnds {
  readonly #of: RedisQueue
  readonly #gather: Gather<End, Claimed | undefined>
  #isKnown: boolean | undefined

  constructor(of: RedisQueue) {
    this.#of = of
    this.#gather = new Gather({
      most: MOST,
      atOnce: Number.POSITIVE_INFINITY,
      send: (ends) => this.#send(ends),
      hasUndone: isWholeRefused,
    })
  }

  /** True when each job has commands of its own, since BullMQ's scripts are others than were known. */
  get isSingle(): boolean {
    return !this.#define()
  }

  end(end: End): Promise<Claimed | undefined> {
    return this.isSingle ? this.#endOne(end) : this.#gather.add(end)
  }

  /** What has been asked for goes before what is asked next. */
  flush(): void {
    this.#gather.flush()
  }

  #define(): boolean {
    const { redis, scripts } = this.#of
    // BullMQ gives its scripts to the client once it is ready.
    if (this.#isKnown === undefined && scripts.has('moveToFinished')) {
      const lua = endMany(scripts)
      this.#isKnown = lua !== undefined
      if (lua !== undefined && !Reflect.has(redis, COMMAND)) {
        redis.defineCommand(COMMAND, { lua, numberOfKeys: 1 })
      }
    }
    return this.#isKnown === true
  }

  async #send(ends: readonly End[]): Promise<(Claimed | undefined | Error)[]> {
    try {
      return await this.#endMany(ends)
    } catch (fault) {
      const [only, ...others] = ends
      // A store that does not take the script may take BullMQ's own.
      if (only === undefined || others.length > 0 || !isWholeRefused(fault)) throw fault
      return [await this.#endOne(only)]
    }
  }

  async #endMany(ends: readonly End[]): Promise<(Claimed | undefined | Error)[]> {
    const { redis, prefix, queue, name, lease } = this.#of
    const fixed = JSON.stringify({ prefix, name, keep: this.#of.keep(), lease, of: `${queue}|` })
    const args: (string | number)[] = [`${prefix}:${queue}:`, fixed, this.#of.wall()]
    for (const { id, token, state, result, left, locks, stops, fetchNext, take } of ends) {
      const isDone = state === 'completed'
      const batch = locks.find(isBatchLock)
      const isPlain = isDone && locks.length === 0 && take === undefined
      const more = {
        ...{ stacktrace: left?.stacktrace, locks: locks.map((lock) => lockKey(prefix, lock)), lease: take },
        stopped: stops && batch !== undefined ? lockKey(prefix, batch) : undefined,
      }
      const value = isDone ? toReturnValue(result, false) : (left?.reason ?? '')
      args.push(id, token, value, fetchNext ? '1' : '0', isDone ? 'completed' : 'failed')
      args.push(isPlain ? '' : JSON.stringify(more))
    }
    const answers = await (Reflect.get(redis, COMMAND) as Command).apply(redis, args)
    return ends.map((end, at) => this.#read(end, answers[at] ?? 0))
  }

  #read({ id, token }: End, answer: Answer | Error): Claimed | undefined | Error {
    if (answer instanceof Error) return answer
    if (typeof answer === 'number') return answer === 0 ? undefined : faultOf(id, answer)
    const [fields, next] = answer
    return fields === 0 ? undefined : { token, job: jobIn(this.#of.queue, next, fields, this.#of.wall()) }
  }

  /** The same by BullMQ's own commands. Between them the process may die: whoever waits in a lock looks again by itself. */
  async #endOne(end: End): Promise<Claimed | undefined> {
    const { redis, prefix, queue, backend, leave } = this.#of
    const { id, token, state, result, left, locks, stops, fetchNext, take } = end
    if (take !== undefined) {
      const isTaken = await redis.eval(TAKE, 1, `${prefix}:${queue}:`, id, token, take)
      if (isTaken !== 1) throw faultOf(id, -3)
    }
    const job = { id, opts: { attempts: 1 } } as never
    const answer =
      state === 'completed'
        ? await backend().moveToCompleted(
            job,
            JSON.parse(toReturnValue(result, false)),
            undefined as never,
            token,
            fetchNext,
          )
        : await backend().moveToFailed(job, left?.reason ?? '', undefined as never, token, fetchNext, {
            ...(left && { stacktrace: left.stacktrace }),
          })
    for (const lock of locks) await leave(lock, queue, id, stops && isBatchLock(lock))
    const [json, next] = (answer.result ?? []) as unknown as [json?: RawJob | null, id?: string]
    return json && next ? { token, job: toStored(queue, next, json, 'active', this.#of.wall()) } : undefined
  }
}

/** The store has answered that it did nothing. */
function isWholeRefused(fault: unknown): boolean {
  return (fault as Error).name === 'ReplyError'
}

/** What is read of a job that is claimed. BullMQ reads all fields. */
export function jobIn(queue: string, id: string, fields: readonly string[], wall: number): StoredJob {
  const read = new Map<string, string>()
  for (let at = 0; at < fields.length; at += 2) read.set(fields[at] as string, fields[at + 1] as string)
  const progress = read.get('progress')
  const raw: RawJob = {
    name: read.get('name') ?? '',
    data: read.get('data') ?? '{}',
    timestamp: Number(read.get('timestamp')),
    stacktrace: read.get('stacktrace'),
    progress: progress === undefined ? undefined : parsed(progress),
    attemptsStarted: Number(read.get('ats') ?? 0),
    stalledCounter: Number(read.get('stc') ?? 0),
  }
  return toStored(queue, id, raw, 'active', wall)
}
