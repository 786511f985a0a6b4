/** Runs plans, looks for one that fails, and shrinks it. */
import { setImmediate } from 'node:timers/promises'
import fc from 'fast-check'
import { memoryBroker } from '../../src/brokers/memory.ts'
import { clusterPlans } from './cluster/cluster-plan.ts'
import { ClusterWorld } from './cluster/cluster-world.ts'
import type { ClusterSubject } from './cluster/sim-process.ts'
import { DurableWorld } from './durable/durable-world.ts'
import type { DurableSubject } from './durable/life.ts'
import { durablePlans, type Op, type Plan, plans } from './plan.ts'
import { sharedPlans } from './shared/shared-plan.ts'
import { SharedWorld } from './shared/shared-world.ts'
import { type Subject, World } from './world.ts'

/** The runtime as it is, with the memory broker. */
export const memorySubject: Subject = { broker: memoryBroker }

/** A world, as far as playing a plan in it goes. */
interface Playable {
  readonly model: { violation: string | undefined; violate(message: string): void }
  apply(op: Op): Promise<void>
  drain(): Promise<void>
}

/** Runs one plan. Resolves to what went wrong, or undefined. */
export async function simulate(plan: Plan, subject: Subject = memorySubject): Promise<string | undefined> {
  const world = new World(plan, subject)
  await play(plan, world)
  if (world.model.violation !== undefined) await world.abandon()
  return world.model.violation
}

/** The same over the sqlite broker, through the crashes of the plan. */
export async function simulateDurable(plan: Plan, subject: DurableSubject = {}): Promise<string | undefined> {
  const world = new DurableWorld(plan, subject)
  await play(plan, world)
  world.end()
  return world.model.violation
}

/** The same with several processes over the model of a store that they share. */
export async function simulateCluster(plan: Plan, subject: ClusterSubject = {}): Promise<string | undefined> {
  const undo = subject.patch?.()
  try {
    const world = new ClusterWorld(plan, subject)
    await play(plan, world)
    world.end()
    // Ticks leave no room for it: a rejection that nobody handles is told of only now.
    await setImmediate()
    return world.model.violation
  } finally {
    undo?.()
  }
}

/** The same with several processes over one journal that they share. */
export async function simulateShared(plan: Plan, subject: DurableSubject = {}): Promise<string | undefined> {
  const world = new SharedWorld(plan, subject)
  await play(plan, world)
  world.end()
  return world.model.violation
}

async function play({ ops }: Plan, world: Playable): Promise<void> {
  const { model } = world
  try {
    for (const op of ops) {
      await world.apply(op)
      if (model.violation !== undefined) return
    }
    await world.drain()
  } catch (error) {
    model.violate(`it threw ${error instanceof Error ? error.stack : String(error)}`)
  }
}

/** Kinds of plans, and how one is run. */
export interface Simulation {
  readonly broker: 'memory' | 'sqlite' | 'shared' | 'cluster'
  readonly plans: typeof plans
  readonly run: (plan: Plan) => Promise<string | undefined>
}

/** Plans for the memory broker. */
export function inMemory(subject?: Subject): Simulation {
  return { broker: 'memory', plans, run: (plan) => simulate(plan, subject) }
}

/** Plans with crashes for the sqlite broker. */
export function onDisk(subject?: DurableSubject): Simulation {
  return { broker: 'sqlite', plans: durablePlans, run: (plan) => simulateDurable(plan, subject) }
}

/** Plans for several processes over one journal. */
export function onSharedDisk(subject?: DurableSubject): Simulation {
  return { broker: 'shared', plans: sharedPlans, run: (plan) => simulateShared(plan, subject) }
}

/** Plans for several processes and the store that they share. */
export function inCluster(subject?: ClusterSubject): Simulation {
  return { broker: 'cluster', plans: clusterPlans, run: (plan) => simulateCluster(plan, subject) }
}

/** How far to look. */
export interface Search {
  readonly seed: number
  readonly runs: number
  readonly steps?: { readonly least: number; readonly most: number }
  /** Default: the memory broker. */
  readonly simulation?: Simulation
  /** Starts where an earlier search ended: fast-check's own word for one plan. */
  readonly path?: string | undefined
  /** False: the first plan that fails will do, as large as it is. */
  readonly shrinks?: boolean
}

/** A plan that fails, made as small as it will go. */
export interface Finding {
  readonly violation: string
  readonly plan: Plan
  readonly seed: number
  readonly path: string
  /** Runs until it was found. */
  readonly runs: number
  readonly broker: Simulation['broker']
}

/** Looks for a plan that fails. */
export async function search({
  seed,
  runs,
  steps,
  simulation = inMemory(),
  path,
  shrinks = true,
}: Search): Promise<Finding | undefined> {
  let last: string | undefined
  const plansOfIt = simulation.plans(steps ?? { least: 1, most: 80 })
  const property = fc.asyncProperty(plansOfIt, async (plan) => {
    const violation = await simulation.run(plan)
    if (violation === undefined) return
    last = violation
    throw new Error(violation)
  })
  // Traces of errors that are part of the plan would take most of the time.
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  const how = { seed, numRuns: runs, endOnFailure: !shrinks }
  const result = await fc.check(property, path === undefined ? how : { ...how, path })
  Error.stackTraceLimit = stackTraceLimit
  if (!result.failed || result.counterexample === null) return undefined
  const [smallest] = result.counterexample
  return {
    violation: (await simulation.run(smallest)) ?? last ?? 'unknown',
    plan: smallest,
    seed: result.seed,
    path: result.counterexamplePath ?? '',
    runs: result.numRuns,
    broker: simulation.broker,
  }
}

/** Says what was found, and how to see it again. */
export function report(
  { violation, plan, seed, path, runs, broker }: Finding,
  steps?: Search['steps'],
): string {
  const size = steps === undefined ? '' : ` --steps ${steps.most} --least ${steps.least}`
  const more = broker === 'memory' ? size : ` --broker ${broker}${size}`
  const lines = [
    `The simulation found a fault in run ${runs} of seed ${seed}: ${violation}`,
    `Replay: npm run simulate -- --seed=${seed}${more} --path ${path}`,
    'Shrunk to:',
    `  world ${line(plan.world)}`,
    ...plan.specs.flatMap((spec, index) => (isUsed(plan, index) ? [`  spec ${index} ${line(spec)}`] : [])),
    ...plan.ops.map((op) => `  ${line(op)}`),
  ]
  return lines.join('\n')
}

function isUsed(plan: Plan, index: number): boolean {
  return (
    JSON.stringify(plan.ops).match(new RegExp(`"spec":${index}\\b|"specs":\\[[^\\]]*\\b${index}\\b`)) !==
      null || plan.specs.some((spec) => spec.runs.some(({ adds }) => adds === index))
  )
}

// As an object literal that can be pasted into a test.
function line(value: object): string {
  const text = fc.stringify(value)
  return text
    .replaceAll(/,?"[a-zA-Z]+":undefined/g, '')
    .replaceAll(/"([a-zA-Z]+)":/g, '$1: ')
    .replaceAll('"', "'")
}
