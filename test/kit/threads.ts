/** Runtimes with real threads, for tests of what happens in them. */
import { onTestFinished } from 'vitest'
import { z } from 'zod'
import type { Job } from '../../src/engine/job.ts'
import { type Ports, realPorts } from '../../src/engine/ports.ts'
import { Runtime } from '../../src/engine/runtime.ts'
import type { RuntimeOptions } from '../../src/engine/runtime-options.ts'
import { type AnyTask, defineTask, type Task, type TaskOptions } from '../../src/rules/task.ts'
import type { EventName, RuntimeEvents } from '../../src/words/events.ts'
import type { JobOptions } from '../../src/words/job.ts'

type Policy = Partial<Omit<TaskOptions<string, unknown, unknown, unknown, unknown>, 'name' | 'handler'>>

/** A task whose handler is an export of `test/fixtures/handlers/iso-<module>.ts`, with any payload. */
export function isoTask(module: string, name: string, policy: Policy = {}): Task<string, unknown> {
  return defineTask({
    payload: z.unknown(),
    ...policy,
    name: `${module}.${name}`,
    handler: {
      module: new URL(`../fixtures/handlers/iso-${module}.ts`, import.meta.url),
      export: name,
    },
  }) as Task<string, unknown>
}

/** The same handler as another task, under a name of its own. */
export function isoTaskAs(
  alias: string,
  module: string,
  name: string,
  policy: Policy = {},
): Task<string, unknown> {
  return defineTask({
    payload: z.unknown(),
    ...policy,
    name: alias,
    handler: {
      module: new URL(`../fixtures/handlers/iso-${module}.ts`, import.meta.url),
      export: name,
    },
  }) as Task<string, unknown>
}

/** A runtime whose tasks are known by any name and take any payload: what a task is called is not these tests' subject. */
export type LooseRuntime = Omit<Runtime, 'enqueue' | 'tryEnqueue' | 'enqueueMany'> & {
  enqueue(task: AnyTask | string, payload?: unknown, options?: JobOptions): Job
  tryEnqueue(task: AnyTask | string, payload?: unknown, options?: JobOptions): Job | null
  enqueueMany(entries: readonly { task: AnyTask | string; payload?: unknown; options?: JobOptions }[]): Job[]
}

/** A runtime with one quiet thread unless told otherwise; it is stopped when the test is over. */
export function startThreads(
  tasks: readonly AnyTask[],
  options: Omit<RuntimeOptions, 'tasks'> = {},
  ports: Partial<Ports> = {},
): LooseRuntime {
  const runtime = new Runtime(
    { log: false, pool: { threads: 1 }, killGrace: 50, ...options, tasks },
    { ...realPorts, ...ports },
  )
  onTestFinished(async () => void (await runtime.stop({ timeout: 0 })))
  return runtime as unknown as LooseRuntime
}

/** Jobs added while `add` runs wait together, so that they go out in one bundle. */
export function addTogether<R>(runtime: LooseRuntime, add: () => R): R {
  runtime.pause()
  const added = add()
  runtime.resume()
  return added
}

/** Collects the events of a name from now on. */
export function collectEvents<Name extends EventName>(
  runtime: LooseRuntime,
  name: Name,
): RuntimeEvents[Name][] {
  const events: RuntimeEvents[Name][] = []
  runtime.on(name, (event) => void events.push(event))
  return events
}

/** The error that `result()` rejects with. */
export async function failureOf(job: { result(): Promise<unknown> }): Promise<Error & { code?: string }> {
  const error = await job.result().then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (!(error instanceof Error))
    throw new Error(`The job did not fail with an Error, but with ${String(error)}.`)
  return error
}
