/** `aftertask/broker-contract`: the rules that every broker keeps, as checks for any test runner. */
import { Bench } from './broker-contract/bench.ts'
import { changeRules } from './broker-contract/change-rules.ts'
import { durableRules } from './broker-contract/durable-rules.ts'
import type { BrokerKind } from './broker-contract/kind.ts'
import { durableLogRules, logRules } from './broker-contract/log-rules.ts'
import { rules } from './broker-contract/rules.ts'
import { searchRules } from './broker-contract/search-rules.ts'
import { sharedStrangerRules, strangerRules } from './broker-contract/stranger-rules.ts'

export type { BrokerKind } from './broker-contract/kind.ts'

const A_DAY = 86_400_000

/** One rule of the contract. */
export interface ContractRule {
  /** The rule as a sentence, with the broker's name. */
  readonly name: string
  /** Opens a broker, checks the rule, closes the broker. Rejects with an AssertionError when the rule is broken. */
  run(): Promise<void>
}

/**
 * The contract for one kind of broker. Each rule is checked with a broker of its own, over the real clock; a rule that is
 * broken may also never come to an end, so give each a timeout.
 *
 * @example
 * for (const { name, run } of brokerContract({ name: 'small', make: () => smallBroker(), survives: false })) test(name, run)
 */
export function brokerContract(kind: BrokerKind): ContractRule[] {
  const durable = kind.survives ? [...durableRules, ...durableLogRules, ...strangerRules] : []
  const all = [
    ...rules,
    ...searchRules,
    ...changeRules,
    ...logRules,
    ...durable,
    ...(kind.shares === true ? sharedStrangerRules : []),
  ]
  return all.map(({ name, check }) => ({
    name: `the ${kind.name} broker ${name}`,
    async run() {
      const bench = new Bench(kind)
      // The timers of a clock let the process end, and nothing else may hold it while a rule waits.
      const alive = setInterval(() => {}, A_DAY)
      try {
        await bench.open()
        await check(bench)
      } finally {
        clearInterval(alive)
        await bench.close()
      }
    },
  }))
}
