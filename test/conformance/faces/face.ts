/** A face: one framework with its adapter, behind one way of serving routes, so that one suite asks every framework the same. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Readable } from 'node:stream'
import type { AfterResponseOptions } from '../../../src/http/adapter.ts'
import type { Job, JobOptions, Runtime, TasksIn } from '../../../src/index.ts'
import type { httpTasks } from '../../fixtures/http-tasks.ts'

/** The runtime that the suite adds to. */
export type FaceRuntime = Runtime<TasksIn<typeof httpTasks>>

/** Adds a job as a handler of the framework does. */
export type Add = (task: string, payload?: unknown, options?: JobOptions) => Job

/** What a route is given. */
export interface Turn {
  readonly after: Add
  /** Node's own request and response. */
  readonly req: IncomingMessage
  readonly res: ServerResponse
}

/** What a route answers. */
export interface Answer {
  readonly status?: number
  readonly body?: string | Readable
  /** The route has written to Node's response itself, and the framework is to leave that alone. */
  readonly isSent?: true
}

/** A route: what it throws or rejects with reaches the framework's error handler. */
export type Route = (turn: Turn) => Answer | Promise<Answer>

/** What is served. */
export interface Serving {
  readonly runtime: FaceRuntime
  /** Answers `GET /` and every path below that is not `/nowhere`. */
  readonly route: Route
  /** Runs for every request, routes that are not there included. */
  readonly everywhere?: (turn: Turn) => void
  /** Further runtimes, whose adapters come after that of the first; the same one again is allowed. */
  readonly more?: readonly FaceRuntime[]
  readonly options?: AfterResponseOptions
}

/** A framework with its adapter. */
export interface Face {
  /** As the matrix calls it. */
  readonly name: string
  /** An error that the framework answers with this status by itself. */
  failure(status: number): Error
  /** Serves on a free port of 127.0.0.1 until the test is over, and resolves to the port. */
  serve(serving: Serving): Promise<number>
  /** Asks for `GET /` without a socket, as the framework's own tests do; rejects, or resolves to the status. */
  inject?(serving: Serving): Promise<number>
}

/** An error with a status, as most frameworks read it. */
export function errorWithStatus(status: number): Error {
  return Object.assign(new Error(`failed with ${status}`), { status })
}
