/** Plans for several processes and the store that they share. */
import fc from 'fast-check'
import {
  advance,
  common,
  type Op,
  oneOf,
  options,
  type Plan,
  pick,
  SPECS,
  schedule,
  spec,
  stop,
  type WorldOptions,
  wall,
} from '../plan.ts'
import { taskRules } from '../tasks.ts'

/** The tasks of these processes: each queue of theirs is looked at all the time, so there are few. */
export const CLUSTER_TASKS: ReadonlySet<string> = new Set([
  ...['plain', 'retried', 'timed', 'single', 'keyed', 'fragile', 'hasty', 'urgent', 'held-name', 'io'],
])

const numbers = taskRules.flatMap(({ name }, index) => (CLUSTER_TASKS.has(name) ? [index] : []))
const process = fc.nat(3)

const clusterSpec = fc.tuple(spec, fc.constantFrom(...numbers)).map(([made, task]) => ({ ...made, task }))

const inProcess = fc.record({
  do: fc.constant('in' as const),
  process,
  // Time passes for all of them.
  does: oneOf([
    ...common(true).slice(1),
    { weight: 4, arbitrary: stop },
    { weight: 4, arbitrary: wall },
    {
      weight: 2,
      arbitrary: fc.record({ do: fc.constant('wall' as const), ms: pick(3_600_000, -3_600_000) }),
    },
    {
      weight: 5,
      arbitrary: schedule.map((op) => (op.do === 'schedule' ? { ...op, every: op.every * 10 } : op)),
    },
  ]),
})
const kill = fc.record({
  do: fc.constant('kill' as const),
  process,
  after: fc.nat(20),
  downtime: pick(0, 30, 500, 5000),
})
const freeze = fc.record({ do: fc.constant('freeze' as const), process, ms: pick(30, 400, 1500, 3000, 7000) })
const cut = fc.record({ do: fc.constant('cut' as const), process, ms: pick(0, 0, 300, 3000) })
const deny = fc.record({ do: fc.constant('deny' as const), process, ms: pick(300, 1500, 3000, 7000) })
const store = fc.record({
  do: fc.constant('store' as const),
  what: pick('hangs', 'restarts', 'forgets leases', 'loses messages', 'refuses writes', 'refuses writes'),
  ms: pick(30, 400, 1500, 3000, 7000),
})
const longer = fc.record({ do: fc.constant('advance' as const), ms: pick(100, 300, 2500) })

const step = fc.oneof(
  { weight: 50, arbitrary: advance },
  { weight: 12, arbitrary: longer },
  { weight: 120, arbitrary: inProcess },
  { weight: 5, arbitrary: kill },
  { weight: 4, arbitrary: freeze },
  { weight: 4, arbitrary: cut },
  { weight: 5, arbitrary: store },
  { weight: 3, arbitrary: deny },
) as fc.Arbitrary<Op>

const clusterOptions: fc.Arbitrary<WorldOptions> = fc
  .tuple(options, pick(2, 2, 3, 4), fc.boolean())
  .map(([world, processes, isOrdered]) => ({
    ...world,
    retention: 1000,
    processes,
    isOrdered,
  }))

/** Plans with so many steps. */
export function clusterPlans(steps: { readonly least: number; readonly most: number }): fc.Arbitrary<Plan> {
  return fc.record({
    world: clusterOptions,
    specs: fc.array(clusterSpec, { minLength: SPECS, maxLength: SPECS }),
    ops: fc.array(step, { minLength: steps.least, maxLength: steps.most, size: 'max' }),
  })
}
