/** `expectJob` and `expectNoJob`: functions, so that they serve every test runner. */
import { AssertionError } from 'node:assert/strict'
import type { ResultOfCall, TaskOf } from '../rules/calls.ts'
import type { AnyTask, ParsedPayloadOf } from '../rules/task.ts'
import { type AddedJob, listed, matching, shown } from './added-jobs.ts'
import { type AnyTestRuntime, nameOf, type TestRuntime } from './test-runtime.ts'

type Added<Tasks extends AnyTask, Given> = AddedJob<
  ParsedPayloadOf<TaskOf<Tasks, Given>>,
  ResultOfCall<Tasks, Given>
>

/** Part of a payload: objects in part, everything else whole. */
export type PayloadPart<Payload> = Payload extends
  | readonly unknown[]
  | Date
  | Map<unknown, unknown>
  | Set<unknown>
  ? Payload
  : Payload extends object
    ? { readonly [Key in keyof Payload]?: PayloadPart<Payload[Key]> }
    : Payload

/**
 * Asserts that a job of a task was added, with a payload that has all of `payload`, and returns the first such job. With `within`
 * it waits so many milliseconds of real time for the job, and returns a promise.
 *
 * @throws AssertionError with the list of what was added instead, each with the line that added it.
 */
export function expectJob<Tasks extends AnyTask, const Given extends Tasks | Tasks['name']>(
  runtime: TestRuntime<Tasks>,
  task: Given,
  payload?: PayloadPart<ParsedPayloadOf<TaskOf<Tasks, NoInfer<Given>>>>,
  options?: { within?: undefined },
): Added<Tasks, Given>
export function expectJob<Tasks extends AnyTask, const Given extends Tasks | Tasks['name']>(
  runtime: TestRuntime<Tasks>,
  task: Given,
  payload: PayloadPart<ParsedPayloadOf<TaskOf<Tasks, NoInfer<Given>>>> | undefined,
  options: { within: number },
): Promise<Added<Tasks, Given>>
export function expectJob(
  runtime: AnyTestRuntime,
  task: AnyTask | string,
  payload?: unknown,
  { within }: { within?: number | undefined } = {},
): AddedJob | Promise<AddedJob> {
  const look = (): AddedJob | undefined => matching(runtime.added, nameOf(task), payload)[0]
  const orFail = (found: AddedJob | undefined): AddedJob => {
    if (found !== undefined) return found
    throw new AssertionError({
      message: jobFault(runtime, task, payload) ?? '',
      actual: runtime.added.map((added) => ({ name: added.name, payload: added.payload })),
      expected: [{ name: nameOf(task), payload }],
      operator: 'expectJob',
      stackStartFn: expectJob,
    })
  }
  return within === undefined ? orFail(look()) : runtime.untilAdded(look, within).then(orFail)
}

/**
 * Asserts that no job of a task was added, or none with a payload that has all of `payload`.
 *
 * @throws AssertionError with the list of the jobs that were, each with the line that added it.
 */
export function expectNoJob<Tasks extends AnyTask, const Given extends Tasks | Tasks['name']>(
  runtime: TestRuntime<Tasks>,
  task: Given,
  payload?: PayloadPart<ParsedPayloadOf<TaskOf<Tasks, NoInfer<Given>>>>,
): void {
  const message = noJobFault(runtime, task, payload)
  if (message === undefined) return
  throw new AssertionError({ message, operator: 'expectNoJob', stackStartFn: expectNoJob })
}

/** Why no job fits, with what was added instead; undefined when one does. */
export function jobFault(
  runtime: AnyTestRuntime,
  task: AnyTask | string,
  payload: unknown,
): string | undefined {
  if (matching(runtime.added, nameOf(task), payload).length > 0) return undefined
  return `No job of "${nameOf(task)}"${wanted(payload)} was added. ${listed(runtime.added)}`
}

/** Which jobs fit although none was to; undefined when none does. */
export function noJobFault(
  runtime: AnyTestRuntime,
  task: AnyTask | string,
  payload: unknown,
): string | undefined {
  const found = matching(runtime.added, nameOf(task), payload)
  if (found.length === 0) return undefined
  return `A job of "${nameOf(task)}"${wanted(payload)} was added, and none was to be. ${listed(found)}`
}

function wanted(payload: unknown): string {
  return payload === undefined ? '' : ` with ${shown(payload)}`
}
