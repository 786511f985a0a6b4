/** Completing many jobs in one command of Redis. */
import type { IQueueBackend } from 'bullmq'
import type { Redis } from 'ioredis'
import { type RawJob, toStored } from '../bullmq-jobs.ts'
import { parsed } from '../progress-mark.ts'
import type { Claimed, Completion } from '../shared-store.ts'
import { SingleSource, type SourceParts } from '../single-source.ts'
import { type Arguments, argumentsFor, completeMany, EXAMPLE, isKnown, type Script } from './complete-many.ts'

// So many at a time, that the store works on some while the next are made.
const MOST = 25
const COMMAND = 'aftertask:completeMany'

/** The client that is used, and what is known of it. */
export interface Connection {
  readonly redis: Redis
  /** BullMQ's scripts. */
  readonly scripts: ReadonlyMap<string, Script>
  /** Lets commands go that wait for company. */
  letGo(): void
  /** What the keys of the queue start with. */
  readonly keys: string
}

interface Waiting extends Completion {
  readonly done: PromiseWithResolvers<Claimed | undefined>
}

/** What a script of BullMQ's answers: a code, or what it has fetched. */
type Answer = number | readonly [fields: readonly string[] | 0, id: string, limit: number, until: number]

type Command = (this: Redis, args: Arguments) => Promise<readonly (Answer | Error)[]>

/** Completes the jobs that end in one turn of the event loop together, and fetches the next with them. */
export abstract class BatchSource extends SingleSource {
  protected readonly connection: Connection
  /** What BullMQ's script is called with; false when it is not known here. */
  #example: Arguments | false | undefined
  #waiting: Waiting[] = []

  constructor(parts: SourceParts, connection: Connection) {
    super(parts)
    this.connection = connection
  }

  /** True as long as each job has a command of its own: BullMQ's script is another one than was known. */
  get isSingle(): boolean {
    return this.#exampleOf() === false
  }

  override claim(tokens: readonly string[]): Promise<{ jobs: readonly Claimed[]; dueAt: number }> {
    this.#write()
    return super.claim(tokens)
  }

  override complete(job: Completion): Promise<Claimed | undefined> {
    if (this.isSingle) return this.completeAlone(job)
    const done = Promise.withResolvers<Claimed | undefined>()
    this.#waiting.push({ ...job, done })
    if (this.#waiting.length === 1) setImmediate(() => this.#write())
    else if (this.#waiting.length === MOST) {
      this.#write()
      this.connection.letGo()
    }
    return done.promise
  }

  #write(): void {
    if (this.#waiting.length === 0) return
    const jobs = this.#waiting
    this.#waiting = []
    void this.#writeTogether(jobs)
  }

  async #writeTogether(jobs: readonly Waiting[]): Promise<void> {
    try {
      const command = Reflect.get(this.connection.redis, COMMAND) as Command
      const example = this.#example as Arguments
      const answers = await command.call(this.connection.redis, argumentsFor(example, jobs))
      for (const [at, job] of jobs.entries()) this.#take(job, answers[at] ?? 0)
    } catch (error) {
      // Without a word from the store it may be written or not: whoever tries again has to find out.
      const isWhole = isRefusal(error)
      for (const job of jobs) {
        if (isWhole) this.completeAlone(job).then(job.done.resolve, job.done.reject)
        else job.done.reject(error)
      }
    }
  }

  #take({ id, token, done }: Waiting, answer: Answer | Error): void {
    if (answer instanceof Error) return done.reject(answer)
    if (typeof answer !== 'number') {
      const [fields, next] = answer
      if (fields === 0) return done.resolve(undefined)
      const job = toStored(this.parts.queue, next, jobIn(fields), 'active', Date.now())
      return done.resolve({ token, job })
    }
    if (answer === 0) return done.resolve(undefined)
    done.reject(
      Object.assign(new Error(`The job ${id} could not be completed: ${answer}.`), { code: answer }),
    )
  }

  #exampleOf(): Arguments | false {
    if (this.#example !== undefined) return this.#example
    const { redis, scripts } = this.connection
    const script = scripts.get('moveToFinished')
    const args = script && exampleOf(this.backend)
    this.#example = args !== undefined && isKnown(args) && args
    if (script !== undefined && this.#example !== false && !Reflect.has(redis, COMMAND)) {
      redis.defineCommand(COMMAND, { ...script, lua: completeMany(script.lua) })
    }
    return this.#example
  }
}

function exampleOf(backend: IQueueBackend): Arguments | undefined {
  const { id, token, value } = EXAMPLE
  const make = Reflect.get(backend, 'moveToCompletedArgs') as ((...given: unknown[]) => Arguments) | undefined
  return make?.call(backend, { id, opts: { attempts: 1 } }, value, undefined, token, true)
}

/** The store has answered that it did nothing. */
function isRefusal(error: unknown): boolean {
  return (error as Error).name === 'ReplyError'
}

/** What is read of a job that is fetched. BullMQ reads all fields. */
function jobIn(fields: readonly string[]): RawJob {
  const job: { -readonly [Field in keyof RawJob]: RawJob[Field] } = { name: '', data: '', timestamp: 0 }
  for (let at = 0; at < fields.length; at += 2) {
    const value = fields[at + 1] as string
    switch (fields[at]) {
      case 'name':
        job.name = value
        break
      case 'data':
        job.data = value
        break
      case 'stacktrace':
        job.stacktrace = value
        break
      case 'progress':
        job.progress = parsed(value)
        break
      case 'timestamp':
        job.timestamp = Number(value)
        break
      case 'ats':
        job.attemptsStarted = Number(value)
        break
      case 'stc':
        job.stalledCounter = Number(value)
        break
    }
  }
  return job
}
