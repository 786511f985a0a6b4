/** A runtime in virtual time with simulated threads, and everything that a program holds on to. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { memoryBroker } from '../../../src/brokers/memory.ts'
import type { Broker } from '../../../src/brokers/port/broker.ts'
import { SqliteBroker } from '../../../src/brokers/sqlite/sqlite-broker.ts'
import type { Batch } from '../../../src/engine/batch.ts'
import type { Job } from '../../../src/engine/job.ts'
import { engineOf, Runtime } from '../../../src/engine/runtime.ts'
import { decode, type Encoded } from '../../../src/rules/codec.ts'
import type { JobRecord } from '../../../src/rules/job-record.ts'
import { defineTask } from '../../../src/rules/task.ts'
import type { JobOptions } from '../../../src/words/job.ts'
import { openFile } from '../../../workers/journal/file.ts'
import { Journal } from '../../../workers/journal/journal.ts'
import { SimLink } from '../../simulation/durable/sim-link.ts'
import type { Behaviour } from '../../simulation/plan.ts'
import { seeded } from '../../simulation/random.ts'
import { SimPool } from '../../simulation/sim-pool.ts'
import { VirtualClock } from '../../simulation/virtual-clock.ts'
import type { Added, Program, Step } from './program.ts'
import type { Watched } from './watched.ts'

const handler = 'file:///simulated.js'
const payload = z.unknown()
const tasks = [
  defineTask({ name: 'plain', handler, payload }),
  defineTask({ name: 'single', handler, payload, concurrency: 1 }),
  defineTask({ name: 'keyed', handler, payload, key: 'k' }),
  defineTask({
    name: 'tried',
    handler,
    payload,
    retry: { maxAttempts: 3, backoff: { delay: 20, jitter: 0 } },
  }),
]
const A_DAY = 86_400_000
const MOST_EVENTS = 200_000
const nobody = { sent: () => {}, givenBack: () => {}, handlerStarts: () => {}, handlerStops: () => {} }
const requests = new AsyncLocalStorage<object>()

/** What a payload is, apart from its size. */
interface Sent {
  readonly ends: Behaviour['ends']
  readonly ms: number
  readonly text: string
}

/** What a caller gives as the reason of a cancellation. */
class Reason {
  readonly much = new Uint8Array(64)
}

/** Nobody takes its file away, and each day of virtual time has some 86,400 looks at that. */
class UnwatchedJournal extends Journal {
  override watch(): undefined {}
}

/** One program under way. */
export class Bench {
  readonly clock = new VirtualClock()
  readonly runtime: Runtime
  readonly #broker: Broker
  readonly #watched: Watched
  readonly #folder: string | undefined
  /** What the user of the library keeps: a signal that outlives its jobs. */
  readonly kept = new AbortController()
  #jobs: { readonly job: Job; readonly controller: AbortController | undefined }[] = []
  #batches: Batch[] = []

  constructor(
    { broker, seed, retention, window }: Program,
    watched: Watched,
    spoil?: (broker: Broker) => Broker,
  ) {
    const random = seeded(seed)
    const latency = (): number => (random() < 0.6 ? 0 : 2 * random())
    this.#watched = watched
    this.#folder = broker === 'sqlite' ? mkdtempSync(join(tmpdir(), 'aftertask-fuzz-')) : undefined
    const real = this.#folder === undefined ? memoryBroker() : this.#journal(this.#folder, window, latency)
    this.#broker = spoil?.(real) ?? real
    this.runtime = new Runtime(
      {
        ...{ tasks, broker: this.#broker, log: false, retention: { count: retention }, maxPending: 1000 },
        pool: { threads: 2 },
      },
      {
        clock: this.clock,
        random,
        makePool: (parts) => {
          const behaviourOf = (job: JobRecord): Behaviour => behaviour(job)
          return new SimPool({
            parts,
            clock: this.clock,
            stillborn: 0,
            latency,
            witness: nobody,
            behaviourOf,
          })
        },
      },
    )
  }

  #journal(folder: string, window: number, latency: () => number): Broker {
    const link = new SimLink({
      ...{ clock: this.clock, latency, openFile, seen: () => {} },
      openJournal: (setup, file) => new UnwatchedJournal(setup, file),
    })
    const settings = {
      durability: 'process',
      isShared: false,
      window,
      retention: { dead: 30 * A_DAY },
    } as const
    const limits = { logLimit: 100_000, patience: 0 }
    return new SqliteBroker({ ...settings, ...limits, file: join(folder, 'journal.sqlite') }, link)
  }

  async step(step: Step): Promise<void> {
    switch (step.do) {
      case 'add':
        return this.#add(step.job, step.batch)
      case 'open':
        return void this.#batches.push(this.runtime.openBatch({ order: 'sequential', onFailure: 'continue' }))
      case 'settle':
        return this.#settle(this.#batches[step.batch % this.#batches.length], step.statusCode)
      case 'advance':
        return this.advance(step.ms)
      case 'pause':
        return this.runtime.pause()
      case 'resume':
        return this.runtime.resume()
      default:
        return this.#touch(step.do, step.job)
    }
  }

  #add(added: Added, batch: number | null): void {
    const watched = this.#watched
    const request = watched.see('request', { body: new Uint8Array(64) })
    const controller =
      added.signal === 'own' || added.signal === 'aborted' ? new AbortController() : undefined
    if (controller !== undefined) watched.see('signal', controller.signal)
    if (added.signal === 'aborted') controller?.abort(watched.see('reason', new Reason()))
    const sent = watched.see('payload', { ...{ ends: added.ends, ms: added.ms }, text: 'x'.repeat(100) })
    const options = this.#optionsOf(added, request, controller)
    const add = (): Job =>
      batch === null || this.#batches.length === 0
        ? this.runtime.enqueue(added.task, sent, options)
        : (this.#batches[batch % this.#batches.length] as Batch).add(added.task, sent, options)
    const job = requests.run(watched.see('store', { request }), add)
    watched.see('handle', job)
    const { ids } = this.runtime[engineOf]
    const record = this.#broker.jobs.get(ids.seqOf(job.id) ?? 0)
    if (record !== undefined) watched.see('record', record)
    this.#jobs.push({ job, controller })
  }

  #optionsOf(added: Added, request: object, controller: AbortController | undefined): JobOptions {
    const { delay, queueTimeout, priority, unique, uniqueFor, when, signal, parallel } = added
    const predicate = this.#watched.see('predicate', () => Reflect.has(request, 'body'))
    return {
      ...(delay === undefined ? {} : { delay }),
      ...(queueTimeout === undefined ? {} : { queueTimeout }),
      ...(priority === undefined ? {} : { priority }),
      ...(unique === undefined
        ? {}
        : { unique: uniqueFor === undefined ? unique : { key: unique, for: uniqueFor } }),
      ...(when === undefined ? {} : { when: when === 'its request' ? predicate : when }),
      ...(controller === undefined ? {} : { signal: controller.signal }),
      ...(signal === 'shared' ? { signal: this.kept.signal } : {}),
      ...(parallel === undefined ? {} : { order: parallel ? 'parallel' : 'sequential' }),
    }
  }

  #settle(batch: Batch | undefined, statusCode: number): void {
    const error = statusCode === 500 ? this.#watched.see('error', new Error('the request failed')) : undefined
    batch?.settle({ statusCode, outcome: 'sent', error, method: 'POST', url: '/' })
  }

  #touch(how: 'cancel' | 'abort' | 'ask' | 'revive', which: number): void {
    const found = this.#jobs[which % this.#jobs.length]
    if (found === undefined) return
    const { job, controller } = found
    const reason = this.#watched.see('reason', new Reason())
    if (how === 'cancel') job.cancel(reason)
    else if (how === 'abort') controller?.abort(reason)
    else if (how === 'ask')
      void job.settled.then((settlement) => void this.#watched.see('settlement', settlement))
    else void this.runtime.revive(job.id)
  }

  /** Lets time pass. Between any two events promises go on, as they do between two messages. */
  async advance(ms: number): Promise<void> {
    const end = this.clock.now() + ms
    this.clock.turn()
    for (let events = 0; this.clock.next() <= end && events < MOST_EVENTS; events++) {
      this.clock.moveTo(this.clock.next())
      this.clock.step()
      for (let turns = 0; turns < 8; turns++) await null
    }
    this.clock.moveTo(end)
    this.clock.turn()
  }

  /** Brings every job to its end. Resolves to what did not come to it. */
  async end(how: Program['end']): Promise<string | undefined> {
    // A revival asks the journal first.
    for (let answers = 0; answers < 3; answers++) await this.#pass(20)
    if (how === 'run') this.runtime.resume()
    else this.runtime.pause()
    for (const batch of this.#batches) this.#settle(batch, 200)
    if (how === 'cancelled while paused') {
      for (const { job } of this.#jobs) job.cancel(this.#watched.see('reason', new Reason()))
      // One that runs has to be given up by its thread.
      await this.#until(50, 100)
    } else if (how === 'run') await this.#until(20, A_DAY)
    else {
      // In virtual time a day is nothing; what does not expire is cancelled.
      await this.#until(5, 1000)
      for (const { job } of this.#jobs) job.cancel()
      await this.#until(20, A_DAY)
    }
    await this.#pass(100)
    return this.#pending === 0 ? undefined : `${this.#pending} jobs did not end`
  }

  async #until(tries: number, ms: number): Promise<void> {
    for (let done = 0; done < tries && this.#pending > 0; done++) await this.#pass(ms)
  }

  get #pending(): number {
    return this.runtime.stats().pending
  }

  async #pass(ms: number): Promise<void> {
    await this.advance(ms)
    await new Promise(setImmediate)
    await this.advance(0)
  }

  /** The program lets go of all that it has. */
  forget(): void {
    this.#jobs = []
    this.#batches = []
  }

  async close(): Promise<void> {
    const stopped = this.runtime.stop({ timeout: 0 })
    let isStopped = false
    void stopped.finally(() => {
      isStopped = true
    })
    for (let tries = 0; tries < 200 && !isStopped; tries++) await this.#pass(1000)
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true, force: true })
  }
}

function behaviour(job: JobRecord): Behaviour {
  const { ends, ms } = decode(job.payload as Encoded) as Sent
  return { ends, ms, blocks: false, onAbort: 'throws' }
}
