/** Waiting for what jobs do, without waiting for time. */
import { afterAll } from 'vitest'
import { createRuntime, type Job, type Runtime, type RuntimeOptions, type TasksIn } from '../../src/index.ts'
import { httpTasks, note } from '../fixtures/http-tasks.ts'

export { nextEvent } from './next-event.ts'

type HttpTasks = TasksIn<typeof httpTasks>

/** A runtime with the tasks of `http-tasks.ts` for one test file, or, with `onTestFinished`, one test; stopped after it. */
export function httpRuntime(
  options: Omit<RuntimeOptions, 'tasks'> = {},
  atEnd: (stop: () => Promise<void>) => void = afterAll,
): Runtime<HttpTasks> {
  const runtime = createRuntime({ tasks: httpTasks, pool: { threads: 2 }, log: false, ...options })
  atEnd(async () => {
    await runtime.stop({ timeout: 0 })
  })
  return runtime
}

/** Resolves when a job that was added now, with no response to wait for, is done: whatever could run has had its chance. */
export async function everythingElseRan(runtime: Runtime<HttpTasks>): Promise<void> {
  await Promise.all([
    runtime.enqueue(note, { text: 'barrier' }).settled,
    runtime.enqueue(note, { text: 'barrier' }).settled,
  ])
}

/** A job that the server's code will hand over: `give` it there, await `job` here. */
export function handOver<Result = unknown>(): {
  give: (job: Job<Result>) => void
  job: Promise<Job<Result>>
} {
  const { promise, resolve } = Promise.withResolvers<Job<Result>>()
  return { give: resolve, job: promise }
}

/** The time on the scale that the handlers of `http-tasks.ts` report. */
export function nowOnAllThreads(): number {
  return Number(process.hrtime.bigint())
}

/** A gate for `gated` jobs: `open` lets those go on that wait for it now. */
export function gate(): { channel: string; open: () => void } {
  const channel = `gate-${Math.random()}`
  return {
    channel,
    open: () => {
      const sender = new BroadcastChannel(channel)
      sender.postMessage('go')
      sender.close()
    },
  }
}
