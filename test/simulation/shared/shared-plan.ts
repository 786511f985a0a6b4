/** Plans for several processes and the journal that they share. */
import fc from 'fast-check'
import { clusterPlans } from '../cluster/cluster-plan.ts'
import type { Op, Plan } from '../plan.ts'

/** Plans with so many steps. */
export function sharedPlans(steps: { readonly least: number; readonly most: number }): fc.Arbitrary<Plan> {
  return fc
    .tuple(clusterPlans(steps), fc.nat(3))
    .map(([plan, longer]) => ({ ...plan, ops: plan.ops.flatMap((op) => fitting(op, longer)) }))
}

/** There is no server between them, and the machine's clock is not set. */
function fitting(op: Op, longer: number): Op[] {
  if (op.do === 'cut' || op.do === 'deny' || op.do === 'store') return []
  if (op.do === 'in' && op.does.do === 'wall') return []
  // Long enough to count as dead.
  if (op.do === 'freeze' && op.ms === 7000 && longer === 0) return [{ ...op, ms: 40_000 }]
  return [op]
}
