/** Programs that add jobs in every way and let them end in every way. */
import fc from 'fast-check'
import type { Behaviour } from '../../simulation/plan.ts'

/** A job to add. */
export interface Added {
  readonly task: 'plain' | 'single' | 'keyed' | 'tried'
  /** How its attempts end. */
  readonly ends: Behaviour['ends']
  readonly ms: number
  readonly delay?: number | undefined
  readonly queueTimeout?: number | undefined
  readonly priority?: number | undefined
  readonly unique?: 'u' | 'v' | undefined
  readonly uniqueFor?: number | undefined
  readonly when?: 'ok' | 'error' | 'its request' | undefined
  /** `shared`: one signal for many jobs, which the user keeps. */
  readonly signal?: 'own' | 'shared' | 'aborted' | undefined
  readonly parallel?: boolean | undefined
}

/** One step. Numbers of jobs and batches are taken modulo how many there are. */
export type Step =
  | { readonly do: 'add'; readonly job: Added; readonly batch: number | null }
  | { readonly do: 'open' }
  | { readonly do: 'settle'; readonly batch: number; readonly statusCode: number }
  | { readonly do: 'cancel' | 'abort' | 'ask' | 'revive'; readonly job: number }
  | { readonly do: 'advance'; readonly ms: number }
  | { readonly do: 'pause' | 'resume' }

/** A whole program. */
export interface Program {
  readonly broker: 'memory' | 'sqlite'
  readonly seed: number
  readonly retention: number
  readonly window: number
  readonly steps: readonly Step[]
  /** How the last jobs end: they run, or nobody lets them. */
  readonly end: 'run' | 'cancelled while paused' | 'expired while paused'
}

const pick = <const T>(...values: T[]): fc.Arbitrary<T> => fc.constantFrom(...values)

function seldom<T>(arbitrary: fc.Arbitrary<T>, outOf = 4): fc.Arbitrary<T | undefined> {
  return fc.oneof({ weight: outOf - 1, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary })
}

const job: fc.Arbitrary<Added> = fc.record({
  task: pick('plain', 'plain', 'single', 'keyed', 'tried'),
  ends: pick('returns', 'returns', 'throws', 'gives up', 'exits'),
  ms: pick(0, 1, 5, 60),
  delay: seldom(pick(5, 3_600_000)),
  queueTimeout: seldom(pick(0, 30, 3_600_000), 3),
  priority: seldom(pick(1, -1)),
  unique: seldom(pick('u', 'v'), 3),
  uniqueFor: seldom(pick(50, 86_400_000), 3),
  when: seldom(pick('ok', 'error', 'its request'), 2),
  signal: seldom(pick('own', 'shared', 'aborted'), 3),
  parallel: seldom(fc.boolean()),
})

const number = fc.nat(31)
const add = fc.record({ do: fc.constant('add' as const), job, batch: fc.option(fc.nat(3), { nil: null }) })

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 12, arbitrary: add },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('open' as const) }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('settle' as const), batch: number, statusCode: pick(200, 500) }),
  },
  { weight: 6, arbitrary: fc.record({ do: pick('cancel', 'abort', 'ask', 'revive'), job: number }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('advance' as const), ms: pick(0, 1, 10, 100) }) },
  { weight: 2, arbitrary: fc.record({ do: pick('pause', 'resume') }) },
)

/** Every program. */
export const programs: fc.Arbitrary<Program> = fc.record({
  broker: pick('memory', 'memory', 'sqlite'),
  seed: fc.nat(),
  retention: pick(0, 0, 3),
  window: pick(4096, 1),
  steps: fc.array(step, { minLength: 1, maxLength: 40, size: 'max' }),
  end: pick('run', 'cancelled while paused', 'expired while paused'),
})
