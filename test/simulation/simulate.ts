/** Runs plans, looks for one that fails, and shrinks it. */
import fc from 'fast-check'
import { memoryBroker } from '../../src/brokers/memory.ts'
import { type Plan, plans } from './plan.ts'
import { type Subject, World } from './world.ts'

/** The runtime as it is, with the memory broker. */
export const memorySubject: Subject = { broker: memoryBroker }

/** Runs one plan. Resolves to what went wrong, or undefined. */
export async function simulate(plan: Plan, subject: Subject = memorySubject): Promise<string | undefined> {
  const world = new World(plan, subject)
  const { model } = world
  try {
    for (const op of plan.ops) {
      await world.apply(op)
      if (model.violation !== undefined) break
    }
    if (model.violation === undefined) await world.drain()
  } catch (error) {
    model.violate(`it threw ${error instanceof Error ? error.stack : String(error)}`)
  }
  if (model.violation !== undefined) await world.abandon()
  return model.violation
}

/** How far to look. */
export interface Search {
  readonly seed: number
  readonly runs: number
  readonly steps?: { readonly least: number; readonly most: number }
  readonly subject?: Subject
  /** Starts where an earlier search ended: fast-check's own word for one plan. */
  readonly path?: string | undefined
}

/** A plan that fails, made as small as it will go. */
export interface Finding {
  readonly violation: string
  readonly plan: Plan
  readonly seed: number
  readonly path: string
  /** Runs until it was found. */
  readonly runs: number
}

/** Looks for a plan that fails. */
export async function search({ seed, runs, steps, subject, path }: Search): Promise<Finding | undefined> {
  let last: string | undefined
  const property = fc.asyncProperty(plans(steps ?? { least: 1, most: 80 }), async (plan) => {
    const violation = await simulate(plan, subject)
    if (violation === undefined) return
    last = violation
    throw new Error(violation)
  })
  // Traces of errors that are part of the plan would take most of the time.
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  const result = await fc.check(property, { seed, numRuns: runs, ...(path === undefined ? {} : { path }) })
  Error.stackTraceLimit = stackTraceLimit
  if (!result.failed || result.counterexample === null) return undefined
  const [smallest] = result.counterexample
  return {
    violation: (await simulate(smallest, subject)) ?? last ?? 'unknown',
    plan: smallest,
    seed: result.seed,
    path: result.counterexamplePath ?? '',
    runs: result.numRuns,
  }
}

/** Says what was found, and how to see it again. */
export function report({ violation, plan, seed, path, runs }: Finding, steps?: Search['steps']): string {
  const more = steps === undefined ? '' : ` --steps ${steps.most} --least ${steps.least}`
  const lines = [
    `The simulation found a fault in run ${runs} of seed ${seed}: ${violation}`,
    `Replay: npm run simulate -- --seed ${seed}${more} --path ${path}`,
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
