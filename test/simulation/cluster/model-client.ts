/**
 * The way of one process to the modelled store. What is asked takes its time to arrive, and so does the answer. Over one
 * connection (`isOrdered`, as ioredis has it) everything keeps its order, and what is unanswered when the connection breaks
 * is asked again. Over many (as pg has it) it arrives in any order, and a broken connection is told to whoever asked. In
 * both cases nobody can tell whether what was asked had its effect.
 */
import { toDataText, toProgress } from '../../../src/brokers/bullmq/store/bullmq-jobs.ts'
import { type StoreFault, toFault } from '../../../src/brokers/bullmq/store/faults.ts'
import {
  type Claimed,
  type JobDirectory,
  type JobSource,
  type LeaseRef,
  type LeftBehind,
  locksOf,
  type Opening,
  type ScheduleTable,
  type SharedStore,
  type StoredEnding,
} from '../../../src/brokers/bullmq/store/shared-store.ts'
import type { Entry } from '../../../src/brokers/bullmq/store/source.ts'
import type { NewJob, StoredJob } from '../../../src/brokers/bullmq/store/stored-job.ts'
import { Secrets } from '../../../src/rules/secrets.ts'
import type { VirtualClock } from '../virtual-clock.ts'
import { ModelDirectory } from './model-directory.ts'
import { REFUSED, Refusal, read, type Seen } from './model-store.ts'
import type { Connected, SimServer, Waiter } from './sim-server.ts'

/** What a client is made of. */
export interface ClientParts {
  readonly server: SimServer
  /** Of the process. */
  readonly clock: VirtualClock
  /** A moment of the server's clock on that of the process. */
  readonly toLocal: (moment: number) => number
  /** Milliseconds that something travels, in one direction. */
  readonly latency: () => number
  readonly random: () => number
  readonly isOrdered: boolean
}

interface Request {
  readonly effect: () => unknown
  readonly onlyReads: boolean
  readonly answer: PromiseWithResolvers<unknown>
  /** It has left the process and goes on its way, though nobody will hear of it. */
  survives: boolean
  isSent: boolean
}

const NO_SECRETS = new Secrets({})
const FIRST_RETRY = 50
const LONGEST_RETRY = 500

/** No answer will come over a connection. */
export class Unreachable extends Error {}

/** The store answers, and does nothing. */
class Denied extends Error {
  override readonly name = 'ReplyError'

  constructor() {
    super("OOM command not allowed when used memory > 'maxmemory'.")
  }
}

/** A store, for one process. */
export class ModelClient implements SharedStore, Connected {
  readonly isOrdered: boolean
  readonly directory: JobDirectory
  readonly schedules: ScheduleTable
  topics: readonly string[] = []
  readonly #parts: ClientParts
  readonly #unanswered = new Set<Request>()
  /** The job of each token, as far as the process has heard of it. */
  readonly #known = new Map<string, string>()
  readonly #waits = new Map<Waiter, (error: Error) => void>()
  #events: Opening['events'] | undefined
  #clock!: Opening['clock']
  #isConnected = false
  /** Connections so far: what belongs to an earlier one is not heard any more. */
  #epoch = 0
  #arrivesAt = 0
  #answersAt = 0
  #isClosed = false
  #blockedUntil = 0
  #deniedUntil = 0
  #opened: PromiseWithResolvers<void> | undefined

  constructor(parts: ClientParts) {
    this.#parts = parts
    this.isOrdered = parts.isOrdered
    const { store } = parts.server
    this.directory = new ModelDirectory(
      (effect, onlyReads) => this.#ask(effect, onlyReads),
      store,
      () => this.#clock.wall(),
    )
    this.schedules = {
      all: () => this.#ask(() => store.allSchedules(), true),
      put: (schedule) => this.#ask(() => store.putSchedule(schedule)),
      era: () => this.#ask(() => 'the one'),
      remove: (id) => this.#ask(() => void store.schedules.delete(id)),
      take: (schedule, owner, ms) => this.#ask(() => store.takeSchedule(schedule, owner, ms)),
      release: (id, owner) => this.#ask(() => store.releaseSchedule(id, owner)),
      made: (schedule, nextAt) => this.#ask(() => store.madeSchedule(schedule, nextAt)),
    }
  }

  #recheck = 0

  open({ clock, events, topics, recheck }: Opening): Promise<void> {
    this.#recheck = recheck
    this.#clock = clock
    this.#events = events
    this.topics = topics
    this.#opened = Promise.withResolvers()
    this.#connect(FIRST_RETRY)
    return this.#opened.promise
  }

  time(): Promise<number> {
    return this.#ask(() => this.#parts.server.time(), true)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#drop(new Unreachable('The connection was closed.'))
    this.#opened?.reject(new Unreachable('The broker was closed before the store was reached.'))
    this.#opened?.promise.catch(() => {})
  }

  // ── The connection ─────────────────────────────────────────────────────────────────────────────────────────────

  /** True when the process has heard that it has a job under this token. */
  knows(token: string, id: string): boolean {
    return this.#known.get(token) === id
  }

  /** True while a connection is there. */
  get isConnected(): boolean {
    return this.#isConnected
  }

  #connect(wait: number): void {
    if (this.#isClosed) return
    const { server, latency } = this.#parts
    if (server.isAway || server.clock.now() < this.#blockedUntil) {
      this.#parts.clock.timer(wait, () => this.#connect(Math.min(wait * 2, LONGEST_RETRY)))
      return
    }
    this.#atServer(latency(), () => {
      // It may have gone just now.
      if (server.isAway) return this.#atProcess(0, () => this.#connect(wait))
      const { starts } = server
      this.#atProcess(latency(), () => {
        if (server.starts === starts) this.#connected()
        else this.#connect(wait)
      })
    })
  }

  #connected(): void {
    if (this.#isClosed || this.#isConnected) return
    this.#isConnected = true
    this.#parts.server.connected.add(this)
    for (const request of this.#unanswered) this.#send(request)
    if (this.#opened === undefined) return this.#events?.up()
    this.#opened.resolve()
    this.#opened = undefined
  }

  /** The connection breaks, and no other can be made for a while. */
  cutFor(milliseconds: number): void {
    const { clock } = this.#parts.server
    this.#blockedUntil = Math.max(this.#blockedUntil, clock.now() + milliseconds)
    this.cut()
  }

  /** Connections can be made again. */
  unblock(): void {
    this.#blockedUntil = 0
    this.#deniedUntil = 0
  }

  /** What this process writes is refused for a while. */
  denyFor(milliseconds: number): void {
    this.#deniedUntil = Math.max(this.#deniedUntil, this.#parts.server.clock.now() + milliseconds)
  }

  /** The connection breaks. */
  cut(): void {
    if (!this.#isConnected) return
    const fault = new Unreachable('The connection is closed.')
    this.#drop(fault)
    this.#atProcess(0, () => {
      if (this.#isClosed) return
      this.#events?.down(this.explain(fault))
      this.#parts.clock.timer(FIRST_RETRY, () => this.#connect(FIRST_RETRY * 2))
    })
  }

  reconnect(): void {
    this.cut()
  }

  /** The process is gone, or has closed the connection. What it sent last may still arrive. */
  vanish(): void {
    this.#isClosed = true
    this.#events = undefined
    this.#drop(undefined)
  }

  #drop(fault: Error | undefined): void {
    const { server, random, isOrdered } = this.#parts
    this.#isConnected = false
    this.#epoch++
    server.connected.delete(this)
    let goesOn = true
    for (const request of this.#unanswered) {
      // Over one connection nothing arrives after what did not.
      goesOn = (isOrdered ? goesOn : true) && random() < 0.6
      request.survives ||= request.isSent && goesOn
      request.isSent = false
      if (isOrdered && !this.#isClosed) continue
      this.#unanswered.delete(request)
      if (fault !== undefined) this.#atProcess(0, () => request.answer.reject(fault))
    }
    for (const [waiter, reject] of this.#waits) {
      server.waitNoMore(waiter)
      if (fault !== undefined) reject(fault)
    }
    this.#waits.clear()
  }

  // ── Questions ──────────────────────────────────────────────────────────────────────────────────────────────────

  #ask<T>(effect: () => T, onlyReads = false): Promise<T> {
    const answer = Promise.withResolvers<unknown>()
    const request: Request = { effect, onlyReads, answer, survives: false, isSent: false }
    const refusal = this.#isClosed ? 'The connection was closed.' : 'The connection was refused.'
    const isHopeless = this.#isClosed || !(this.isOrdered || this.#isConnected)
    if (isHopeless) {
      this.#atProcess(1, () => answer.reject(new Unreachable(refusal)))
      return answer.promise as Promise<T>
    }
    this.#unanswered.add(request)
    if (this.#isConnected) this.#send(request)
    return answer.promise as Promise<T>
  }

  #send(request: Request): void {
    const { server, latency } = this.#parts
    const epoch = this.#epoch
    request.isSent = true
    const arrival = server.clock.now() + latency()
    if (this.isOrdered) this.#arrivesAt = Math.max(this.#arrivesAt, arrival)
    const at = this.isOrdered ? this.#arrivesAt : arrival
    server.clock.at(at, () => server.receive(() => this.#arrive(request, epoch)))
  }

  #arrive(request: Request, epoch: number): void {
    const { server, latency } = this.#parts
    if (epoch !== this.#epoch && !request.survives) return
    request.survives = false
    let settle: () => void
    try {
      const isDenied = server.clock.now() < Math.max(this.#deniedUntil, server.refusesUntil)
      if (isDenied && !request.onlyReads) throw new Denied()
      const value = request.effect()
      settle = () => request.answer.resolve(value)
    } catch (error) {
      settle = () => request.answer.reject(error)
    }
    if (epoch !== this.#epoch) return
    const arrival = server.clock.now() + latency()
    if (this.isOrdered) this.#answersAt = Math.max(this.#answersAt, arrival)
    const at = this.isOrdered ? this.#answersAt : arrival
    this.#atProcess(at - server.clock.now(), () => {
      if (epoch !== this.#epoch || !this.#unanswered.delete(request)) return
      settle()
    })
  }

  #atServer(delay: number, call: () => void): void {
    const { clock } = this.#parts.server
    clock.at(clock.now() + delay, call)
  }

  #atProcess(delay: number, call: () => void): void {
    const { server, clock, toLocal } = this.#parts
    clock.at(toLocal(server.clock.now() + delay), call)
  }

  // ── The store ──────────────────────────────────────────────────────────────────────────────────────────────────

  probe(): Promise<unknown> {
    if (!(this.isOrdered || this.#isConnected))
      return Promise.reject(new Unreachable('There is no connection.'))
    return this.#ask(() => 'written')
  }

  explain(error: unknown): StoreFault {
    return toFault(error, NO_SECRETS)
  }

  uptime(): Promise<number> {
    const { store } = this.#parts.server
    return this.#ask(() => store.now() - store.startedAt, true)
  }

  publish(topic: string, text: string): void {
    const { server } = this.#parts
    this.#ask(() => server.publish(topic, text), true).catch(() => {})
  }

  told(topic: string, text: string): void {
    const epoch = this.#epoch
    this.#atProcess(this.#parts.latency(), () => {
      if (epoch === this.#epoch) this.#events?.message(`model:${topic}`, text)
    })
  }

  // As over BullMQ, a job joins its locks in a step before it is added: anything may happen in between.
  async insert(jobs: readonly NewJob[]): Promise<readonly string[]> {
    const { store } = this.#parts.server
    const entries = jobs.flatMap(entriesOf)
    const places = entries.length > 0 ? await this.#ask(() => entries.map((entry) => store.enter(entry))) : []
    const behind = new Set(entries.filter((_, at) => places[at] === 'behind').map(({ id }) => id))
    const wall = this.#clock.wall()
    const ids = new Map<string, string>()
    const add = async (queue: string, some: readonly NewJob[]): Promise<void> => {
      const given = some.map((job) => {
        const delay = behind.has(job.id) ? this.#recheck : job.delay
        return { job: structuredClone(job), dueAt: delay > 0 ? Math.max(wall, job.acceptedAt) + delay : 0 }
      })
      const added = await this.#ask(() => given.map(({ job, dueAt }) => store.add(queue, job, dueAt)))
      for (const [at, { id }] of some.entries()) ids.set(id, added[at] ?? id)
    }
    await Promise.all([...Map.groupBy(jobs, ({ queue }) => queue)].map(([queue, some]) => add(queue, some)))
    const duplicates = jobs.filter(({ id }) => ids.get(id) !== id)
    const left = duplicates.flatMap(({ queue, id, data }) =>
      locksOf(data).map((lock) => this.leave(lock, queue, id, false)),
    )
    await Promise.all(left)
    return jobs.map(({ id }) => ids.get(id) ?? id)
  }

  hold(queue: string, id: string, milliseconds: number): Promise<void> {
    const dueAt = this.#clock.wall() + milliseconds
    return this.#ask(() => this.#parts.server.store.delay(queue, id, dueAt))
  }

  async release(job: NewJob): Promise<void> {
    const { queue, id, data, payload, delay } = job
    const { store } = this.#parts.server
    const text = toDataText(data, payload, false)
    await this.#ask(() => store.update(queue, id, text))
    const entries = entriesOf(job)
    const places = await this.#ask(() => entries.map((entry) => store.enter(entry)))
    if (places.at(-1) === 'behind') return this.hold(queue, id, this.#recheck)
    if (delay > 0) return this.hold(queue, id, delay)
    await this.#ask(() => store.promote(queue, id))
  }

  leave(lock: string, queue: string, id: string, stop: boolean): Promise<void> {
    return this.#ask(() => this.#parts.server.store.leave(lock, `${queue}|${id}`, stop))
  }

  source(queue: string, name: string): JobSource {
    const { server } = this.#parts
    const { store } = server
    const ask = <T>(effect: () => T): Promise<T> => this.#ask(effect)
    const wall = (): number => this.#clock.wall()
    const claim = (token: string): { token: string; seen: Seen } | undefined => {
      const job = store.claim(queue, token)
      if (job === undefined) return undefined
      server.look(queue)
      return { token, seen: store.seen(job) }
    }
    const claimed = (found: { token: string; seen: Seen } | undefined): Claimed | undefined => {
      if (found === undefined) return undefined
      this.#known.set(found.token, found.seen.id)
      return { token: found.token, job: read(found.seen, wall()) }
    }
    const all = (found: readonly ({ token: string; seen: Seen } | undefined)[]): Claimed[] =>
      found.map(claimed).filter((one) => one !== undefined)
    const postpone = ({ id, token }: LeaseRef, delay: number, left?: LeftBehind): Promise<void> => {
      const dueAt = wall() + Math.round(delay)
      return ask(() => store.postpone(queue, id, token, dueAt, left?.stacktrace))
    }
    return {
      claim: async (tokens) => {
        const found = await ask(() => ({ jobs: tokens.map(claim), dueAt: store.queue(queue).nextDue() }))
        return { jobs: all(found.jobs), dueAt: found.dueAt < Number.POSITIVE_INFINITY ? found.dueAt : 0 }
      },
      claimedUnder: async (tokens) => all(await ask(() => tokens.map((token) => store.under(queue, token)))),
      admit: async (lease, locks) => {
        const { id, token } = lease
        const place = await ask(() => store.enter({ queue, id, locks, token }))
        if (place === 'lost') throw new Refusal(REFUSED.others, id)
        if (place !== 'behind') return place
        await postpone(lease, this.#recheck)
        const callAgain = async (): Promise<void> => {
          if ((await ask(() => store.enter({ queue, id, locks }))) !== 'behind')
            await ask(() => store.promote(queue, id))
        }
        await callAgain().catch(() => {})
        return 'behind'
      },
      setAside: ({ id, token }) => ask(() => store.setAside(queue, id, token)),
      claimAside: async (tokens, tasks) =>
        all(await ask(() => tokens.map((token) => store.claimAside(queue, token, tasks)))),
      end: async ({ id, token }: LeaseRef, ending: StoredEnding) =>
        claimed(
          await ask(() => {
            store.end(queue, id, token, ending)
            return ending.fetchNext ? claim(token) : undefined
          }),
        ),
      postpone,
      putBack: ({ id, token }: LeaseRef) => ask(() => store.putBack(queue, id, token)),
      note: ({ id, token }: LeaseRef, stacktrace: string) =>
        ask(() => store.note(queue, id, token, stacktrace)),
      renew: (leases, milliseconds) => {
        const refs = leases.map(({ id, token, starts, stalls }) => ({ id, token, starts, stalls }))
        return ask(() => refs.filter((lease) => !store.renew(queue, lease, milliseconds)).map(({ id }) => id))
      },
      seen: async (id): Promise<StoredJob | undefined> => {
        const seen = await ask(() => {
          const job = store.queue(queue).jobs.get(id)
          return job && store.seen(job)
        })
        return seen && read(seen, wall())
      },
      reclaimExpired: () => ask(() => store.reclaimExpired(queue, name)),
      waitForWork: (milliseconds) => this.#waitForWork(queue, milliseconds),
      stopWaiting: () => this.#stopWaiting(queue),
      setProgress: (id, progress) => {
        const text = toProgress(progress, false)
        ask(() => store.setProgress(queue, id, text)).catch(() => {})
      },
      log: async () => {},
    }
  }

  #waitForWork(queue: string, milliseconds: number): Promise<number> {
    const { server, latency } = this.#parts
    if (!this.#isConnected) return Promise.reject(new Unreachable('There is no connection.'))
    const { promise, resolve, reject } = Promise.withResolvers<number>()
    const epoch = this.#epoch
    const over = (): void => {
      server.waitNoMore(waiter)
      this.#atProcess(latency(), () => {
        this.#waits.delete(waiter)
        resolve(0)
      })
    }
    const waiter: Waiter = { queue, wake: over }
    this.#waits.set(waiter, reject)
    this.#atServer(latency(), () => {
      server.receive(() => {
        if (epoch === this.#epoch && this.#waits.has(waiter)) server.wait(waiter)
      })
    })
    this.#atServer(milliseconds, () => {
      if (epoch === this.#epoch && this.#waits.has(waiter)) over()
    })
    return promise
  }

  #stopWaiting(queue: string): void {
    for (const [waiter, reject] of this.#waits) {
      if (waiter.queue !== queue) continue
      this.#parts.server.waitNoMore(waiter)
      this.#waits.delete(waiter)
      reject(new Unreachable('Nobody waits any more.'))
    }
  }
}

/** Which locks a job joins as it comes: that of its key once it is due, and none for as long as its response is open. */
function entriesOf({ queue, id, data, delay, behind }: NewJob): Entry[] {
  const { line, key, held } = data
  const locks = held === true ? [] : locksOf(delay > 0 ? { line } : { line, key })
  if (locks.length === 0) return []
  const before = behind === undefined || line === undefined ? [] : [{ ...behind, locks: [line] }]
  return [...before, { queue, id, locks }]
}
