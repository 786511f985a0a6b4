/** What the contract has to know of a broker. */
import type { Broker } from '../../brokers/port/broker.ts'

/** A kind of broker that is held to the contract. */
export interface BrokerKind {
  /** How the broker is called in the names of the rules. */
  readonly name: string
  /** Makes a broker. `place`: an empty folder of this check, for a broker that keeps jobs in files. */
  make(place: string): Broker
  /** Whether the jobs are there again when another broker is made over the same place. */
  readonly survives: boolean
  /** Whether several brokers can be open over the same place at a time. Default false. */
  readonly shares?: boolean
}
