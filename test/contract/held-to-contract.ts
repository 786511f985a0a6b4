/** Holds a broker to the contract, rule by rule. */
import { test } from 'vitest'
import { type BrokerKind, brokerContract } from '../../src/testing/broker-contract.ts'

/** Makes a test of each rule. */
export function heldToContract(kind: BrokerKind): void {
  for (const { name, run } of brokerContract(kind)) test(name, run)
}
