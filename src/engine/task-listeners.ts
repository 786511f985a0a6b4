/** Listeners to the events of one task's jobs: typed by the task, and heard for it alone. */
import { refusal } from '../rules/arguments.ts'
import type { AnyTask, ResultOf } from '../rules/task.ts'
import type { EventJob, EventName, Listener, RuntimeEvents } from '../words/events.ts'

/** The name of an event that is about a job. */
export type JobEventName = {
  [Name in EventName]: RuntimeEvents[Name] extends { readonly job: EventJob } ? Name : never
}[EventName]

/** What an event carries when it is about a job of this task. */
export type JobEvent<Name extends JobEventName, T extends AnyTask> = Name extends 'job:completed'
  ? Omit<RuntimeEvents['job:completed'], 'result'> & { readonly result: ResultOf<T> }
  : RuntimeEvents[Name]

type AnyListener = (event: never) => void

/** Keeps for each listener the one that was put in its place, so that it can be taken away again. */
export class TaskListeners {
  readonly #filters = new WeakMap<AnyListener, Map<string, Listener<EventName>>>()

  /**
   * A listener that passes on what is about one task's jobs: the same each time it is asked for.
   *
   * @throws OptionsInvalidError when the event is not about jobs.
   */
  of(call: string, name: EventName, task: string, listener: AnyListener): Listener<EventName> {
    if (!name.startsWith('job:'))
      throw refusal(call, 'the task', task, 'none beside an event that is not about jobs')
    const byTask = this.#filters.get(listener) ?? new Map<string, Listener<EventName>>()
    this.#filters.set(listener, byTask)
    // What an async listener returns is heard of, as without a filter.
    const filter: Listener<EventName> =
      byTask.get(task) ??
      ((event) => {
        if ((event as { readonly job: EventJob }).job.name === task) return listener(event as never)
      })
    byTask.set(task, filter)
    return filter
  }
}
