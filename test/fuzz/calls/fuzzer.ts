/**
 * Calls every function and method that the package exports with anything. Each call is taken, or refused with an error of
 * ours that has a code; nothing is kept of one that is refused, and every job that was taken comes to one end.
 */
import { types } from 'node:util'
import fc from 'fast-check'
import { createRuntime, type Runtime } from '../../../src/engine/runtime.ts'
import type { AnyTask } from '../../../src/rules/task.ts'
import { AftertaskError } from '../../../src/words/errors.ts'
import { type Fuzzer, makeFuzzer } from '../fuzzer.ts'
import { cook, isCallersOwn, type Recipe, recipes, tasks, written } from './hostile.ts'
import { type Target, targets, type World } from './targets.ts'

interface Call {
  readonly target: string
  readonly args: readonly Recipe[]
}

/** A fuzzer of calls of these functions. */
export function callsFuzzer(all: Readonly<Record<string, Target>>): Fuzzer {
  const call: fc.Arbitrary<Call> = fc.record({
    target: fc.constantFrom(...Object.keys(all)),
    args: fc.array(recipes, { maxLength: 4 }),
  })
  let runtime: Runtime<AnyTask>
  const escaped: unknown[] = []
  const ends = new Map<string, number>()
  return makeFuzzer({
    name: 'calls',
    programs: fc.array(call, { minLength: 1, maxLength: 4 }),
    show: (calls) => calls.map(({ target, args }) => `${target}(${args.map(written).join(', ')})`).join('\n'),
    async open() {
      const onEscape = (error: unknown): void => void escaped.push(error)
      process.on('unhandledRejection', onEscape)
      runtime = createRuntime({ tasks, pool: { threads: 1 }, log: false }) as Runtime<AnyTask>
      for (const event of [
        'job:completed',
        'job:dead',
        'job:cancelled',
        'job:skipped',
        'job:lost',
      ] as const) {
        runtime.on(event, ({ job }) => void ends.set(job.id, (ends.get(job.id) ?? 0) + 1))
      }
      await runtime.ready()
      return async () => {
        await runtime.stop({ timeout: 0 })
        process.off('unhandledRejection', onEscape)
      }
    },
    async play(calls) {
      ends.clear()
      escaped.length = 0
      const world: World = { runtime, jobs: [], undo: [] }
      // Nothing ends meanwhile, so that what is pending changes by calls alone.
      runtime.pause()
      const faults: string[] = []
      for (const { target, args } of calls) {
        const fault = await make(all[target] as Target, args.map(cook), world)
        if (fault !== undefined) faults.push(`${target}: ${fault}`)
        runtime.pause()
      }
      faults.push(...(await finish(world, ends)))
      faults.push(...escaped.map((error) => `nobody caught ${inFull(error)}`))
      return faults[0]
    },
  })
}

/** The fuzzer of `npm run fuzz -- calls`. */
export const fuzzer = callsFuzzer(targets)

async function make(target: Target, args: readonly unknown[], world: World): Promise<string | undefined> {
  const { pending } = world.runtime.stats()
  const kept = world.jobs.length
  try {
    const result = target.call(world, args)
    // What is handed back may be unreadable.
    if (types.isPromise(result)) await result
    return undefined
  } catch (error) {
    if (isOfCaller(error))
      return target.handsOn ? undefined : `threw what is the caller's own: ${inFull(error)}`
    if (!(error instanceof AftertaskError)) return `threw ${inFull(error)}`
    if (error instanceof AftertaskError && !/^[A-Z][A-Z_]+$/.test(error.code))
      return `threw the code ${error.code}`
    const more = world.runtime.stats().pending - pending
    const own = world.jobs.length - kept
    return more > own ? `refused, and ${more - own} jobs more are pending` : undefined
  }
}

// To call a class without `new`, or a function that is revoked, is the caller's fault as well: it was given as a function.
function isOfCaller(error: unknown): boolean {
  if (isCallersOwn(error)) return true
  return error instanceof TypeError && /constructor Own|Cannot perform 'apply'/.test(error.message)
}

function inFull(error: unknown): string {
  try {
    return error instanceof Error ? (error.stack ?? error.message) : String(error)
  } catch {
    return 'something unreadable'
  }
}

/** Lets every job come to its end, and undoes the rest. */
async function finish({ runtime, jobs, undo }: World, ends: Map<string, number>): Promise<string[]> {
  for (const { id } of await runtime.schedules()) await runtime.unschedule(id)
  const faults: string[] = []
  for (const step of undo) {
    try {
      await step()
    } catch (error) {
      if (!(isCallersOwn(error) || error instanceof AftertaskError)) faults.push(inFull(error))
    }
  }
  for (const job of jobs) if (job.state !== 'available') job.cancel()
  runtime.resume()
  await Promise.all(jobs.map((job) => job.settled))
  await new Promise((resolve) => setImmediate(resolve))
  for (const id of new Set(jobs.map((job) => job.id))) {
    if (ends.get(id) !== 1) faults.push(`job ${id} had ${ends.get(id) ?? 0} ends`)
  }
  return faults
}
