/** Whether the store can be reached, and what that means for who wants to add a job. */
import { BrokerUnavailableError } from '../../words/errors.ts'
import type { BrokerStats } from '../port/broker.ts'
import type { BrokerHost } from '../port/host.ts'
import type { BrokerSettings } from './options.ts'

/** How it stands with the store. Until it is known, jobs are taken: a runtime can be used at once. */
export class Availability {
  readonly #host: BrokerHost
  readonly #settings: BrokerSettings
  readonly #producer: { readonly size: number }
  #fault: Error | undefined
  #downSince = 0
  #isFinal = false
  #isKnown = false

  constructor(host: BrokerHost, settings: BrokerSettings, producer: { readonly size: number }) {
    this.#host = host
    this.#settings = settings
    this.#producer = producer
  }

  get isUp(): boolean {
    return this.#isKnown && this.#fault === undefined
  }

  up(): void {
    this.#isKnown = true
    if (this.#fault === undefined) return
    this.#fault = undefined
    this.#host.connectionChanged(undefined, Math.round(this.#host.clock.now() - this.#downSince))
  }

  down(fault: Error): void {
    const isNews = this.#fault === undefined
    this.#fault = fault
    if (!isNews) return
    this.#downSince = this.#host.clock.now()
    this.#host.connectionChanged(fault, 0)
  }

  /** The store cannot be used, and never will be. */
  failed(fault: Error): void {
    this.#isFinal = true
    this.#fault = fault
  }

  stats(): Pick<BrokerStats, 'state' | 'buffered'> {
    return { state: this.#fault === undefined ? 'up' : 'down', buffered: this.#producer.size }
  }

  /** Why a job cannot be taken. */
  refusal(): Error | undefined {
    const cause = this.#fault
    if (cause === undefined) return undefined
    if (this.#isFinal) return cause
    const { whenDown, buffer } = this.#settings
    if (whenDown === 'refuse') {
      const what = `The store of jobs cannot be reached (${cause.message}); it is tried again all the time.`
      return new BrokerUnavailableError('unreachable', what, { cause })
    }
    if (this.#producer.size < buffer) return undefined
    const what = `The store of jobs cannot be reached (${cause.message}), and ${buffer} jobs wait for it already.`
    return new BrokerUnavailableError('full', what, { cause })
  }
}
