/** Whether the store can be reached, and what that means for who wants to add a job. */
import { BrokerUnavailableError } from '../../words/errors.ts'
import type { BrokerStats } from '../port/broker.ts'
import type { BrokerHost } from '../port/host.ts'
import type { BrokerSettings } from './options.ts'

/** What keeps the store from being of use: it cannot be reached, it says nothing, or it takes no writes. */
export type Trouble = 'connection' | 'silence' | 'writes'

const WHAT: Readonly<Record<string, string>> = {
  unreachable: 'cannot be reached',
  full: 'has no room left',
  'read-only': 'is read-only',
  denied: 'denies access',
  connections: 'has no connection left',
}

/** How it stands with the store. Until it is known, jobs are taken: a runtime can be used at once. */
export class Availability {
  readonly #host: BrokerHost
  readonly #settings: BrokerSettings
  readonly #producer: { readonly size: number }
  /** The first is what counts. */
  readonly #faults = new Map<Trouble, BrokerUnavailableError>()
  #untilUp: PromiseWithResolvers<void> | undefined
  #downSince = 0
  #isKnown = false

  constructor(host: BrokerHost, settings: BrokerSettings, producer: { readonly size: number }) {
    this.#host = host
    this.#settings = settings
    this.#producer = producer
  }

  get isUp(): boolean {
    return this.#isKnown && this.#faults.size === 0
  }

  /** Resolves when there is no trouble. */
  whenUp(): Promise<void> {
    if (this.#faults.size === 0) return Promise.resolve()
    this.#untilUp ??= Promise.withResolvers()
    return this.#untilUp.promise
  }

  /** Milliseconds that the store has been of no use; undefined while it is, and until it is known. */
  get downFor(): number | undefined {
    return this.#faults.size === 0 ? undefined : this.#host.clock.now() - this.#downSince
  }

  /** A trouble is over. */
  up(trouble: Trouble): void {
    this.#isKnown = true
    if (!this.#faults.delete(trouble) || this.#faults.size > 0) return
    this.#untilUp?.resolve()
    this.#untilUp = undefined
    this.#host.connectionChanged(undefined, Math.round(this.#host.clock.now() - this.#downSince))
  }

  /** There is trouble. */
  down(trouble: Trouble, fault: BrokerUnavailableError): void {
    const isNews = this.#faults.size === 0
    this.#faults.set(trouble, fault)
    if (!isNews) return
    this.#downSince = this.#host.clock.now()
    this.#host.connectionChanged(fault, 0)
  }

  stats(): Pick<BrokerStats, 'state' | 'buffered'> {
    return { state: this.#faults.size === 0 ? 'up' : 'down', buffered: this.#producer.size }
  }

  /** Why a job cannot be taken. */
  refusal(): Error | undefined {
    if (this.#faults.size === 0) return undefined
    const { whenDown, buffer } = this.#settings
    if (whenDown === 'refuse') return this.error('It is tried again all the time.')
    if (this.#producer.size < buffer) return undefined
    return this.error(`${buffer} jobs wait for it already.`, 'full')
  }

  /** The store is of no use, as an error; `reason` where that is another than the store's. */
  error(more: string, reason?: string): BrokerUnavailableError {
    const [fault] = this.#faults.values()
    if (fault === undefined)
      return new BrokerUnavailableError('unreachable', `The store of jobs has not answered in time. ${more}`)
    const what = `The store of jobs ${WHAT[fault.reason] ?? 'refuses to work'} (${fault.message}).`
    return new BrokerUnavailableError(reason ?? fault.reason, `${what} ${more}`, { cause: fault })
  }
}
