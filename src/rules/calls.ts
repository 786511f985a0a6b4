/** How the compiler reads a call that adds a job: which task is meant, and which payload and options that task takes. */
import type { JobOptions } from '../words/job.ts'
import type { AnyTask, PayloadOf, ResultOf } from './task.ts'

/** The task of a list that has a name. */
export type TaskNamed<Tasks extends AnyTask, Name extends string> = Extract<Tasks, { readonly name: Name }>

/** The task that a name stands for: any task, as long as the tasks are not known by name. */
export type NamedTask<Tasks extends AnyTask, Name extends string> = string extends Tasks['name']
  ? AnyTask
  : TaskNamed<Tasks, Name>

/**
 * The task that a caller means with a task object, or with the name of one of `Tasks`.
 *
 * What is neither becomes any task. The compiler falls back to the whole of what is allowed there; were a payload then
 * required, a wrong task would be told as a missing argument.
 */
export type TaskOf<Tasks extends AnyTask, Given> = [Tasks | Tasks['name']] extends [Given]
  ? AnyTask
  : Given extends AnyTask
    ? Given
    : Given extends string
      ? NamedTask<Tasks, Given>
      : AnyTask

/** What the job of a given task, or of the task with a given name, results in. */
export type ResultOfCall<Tasks extends AnyTask, Given> = ResultOf<TaskOf<Tasks, Given>>

/** The arguments after the task: the payload may be left out when the task takes none. */
export type PayloadAndOptions<T extends AnyTask, Options = JobOptions> =
  undefined extends PayloadOf<T>
    ? [payload?: PayloadOf<T>, options?: Options]
    : [payload: PayloadOf<T>, options?: Options]

/** One entry of `enqueueMany`; `payload` may be left out when the task takes none. */
export type ManyEntry<Tasks extends AnyTask> = Tasks extends AnyTask
  ? undefined extends PayloadOf<Tasks>
    ? { task: Tasks | Tasks['name']; payload?: PayloadOf<Tasks>; options?: JobOptions }
    : { task: Tasks | Tasks['name']; payload: PayloadOf<Tasks>; options?: JobOptions }
  : never
