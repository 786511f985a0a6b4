/** What the specs and the world of a plan mean for the runtime: names, options, pools. */
import type { RuntimeOptions } from '../../src/engine/runtime-options.ts'
import type { JobOptions } from '../../src/words/job.ts'
import type { Plan, Spec } from './plan.ts'
import { KILL_GRACE, taskRules } from './tasks.ts'

/** The rules of the task that a spec is for. */
export function rulesOf(spec: Spec): (typeof taskRules)[number] {
  return taskRules[spec.task % taskRules.length] as (typeof taskRules)[number]
}

/** The name of that task. */
export function nameOf(spec: Spec): string {
  return rulesOf(spec).name
}

/** A spec as the options of a call; `wall` is the time of the wall clock. */
export function optionsOf(spec: Spec, wall: number): JobOptions {
  const { delay, runAt, priority, key, unique, uniqueFor, timeout, queueTimeout, maxAttempts, when } = spec
  return {
    ...(delay === undefined ? {} : { delay }),
    ...(runAt === undefined || delay !== undefined ? {} : { runAt: wall + runAt }),
    ...(priority === undefined ? {} : { priority }),
    ...(key === undefined ? {} : { key }),
    ...(unique === undefined
      ? {}
      : { unique: uniqueFor === undefined ? unique : { key: unique, for: uniqueFor } }),
    ...(timeout === undefined ? {} : { timeout }),
    ...(queueTimeout === undefined ? {} : { queueTimeout }),
    ...(maxAttempts === undefined ? {} : { maxAttempts }),
    ...(when === undefined ? {} : { when }),
    ...(spec.parallel === undefined ? {} : { order: spec.parallel ? 'parallel' : 'sequential' }),
  }
}

/** The options of the runtime in a world. */
export function runtimeOptionsOf(
  world: Plan['world'],
): Omit<RuntimeOptions, 'tasks' | 'broker'> & { readonly log: false } {
  return {
    pool: { threads: world.threads },
    pools: {
      io: { threads: 1, concurrency: 4 },
      elastic: { min: world.seed % 2, max: 3, idleTimeout: 100, recycle: { jobs: 3 } },
      fresh: { threads: 2, isolation: 'job' },
    },
    maxPending: world.maxPending,
    killGrace: KILL_GRACE,
    priorityAgeing: world.ageing,
    retention: { count: world.retention, age: Number.POSITIVE_INFINITY },
    bundles: { milliseconds: world.force ? Number.POSITIVE_INFINITY : 5 },
    log: false,
  }
}
