/** Every function and method that the package exports, ready to be called with anything. */
import { IncomingMessage, ServerResponse } from 'node:http'
import { Server, Socket } from 'node:net'
import { bullmqBroker } from '../../../src/brokers/bullmq.ts'
import { memoryBroker } from '../../../src/brokers/memory.ts'
import { sqliteBroker } from '../../../src/brokers/sqlite.ts'
import { Job } from '../../../src/engine/job.ts'
import { createRuntime, type Runtime } from '../../../src/engine/runtime.ts'
import { openRequest } from '../../../src/http/adapter.ts'
import { after } from '../../../src/http/context.ts'
import * as http from '../../../src/http/index.ts'
import * as polka from '../../../src/http/polka.ts'
import { type Shutdown, shutdown } from '../../../src/http/shutdown.ts'
import { type AnyTask, defineTask } from '../../../src/rules/task.ts'
import * as errors from '../../../src/words/errors.ts'
import { tasks } from './hostile.ts'

/** What the calls are made on. */
export interface World {
  readonly runtime: Runtime<AnyTask>
  /** Jobs that were taken. */
  readonly jobs: Job[]
  /** Undoes what a call has left open, once the program is over. */
  readonly undo: (() => unknown)[]
}

type Any = (...args: unknown[]) => unknown

/** A function to call. */
export interface Target {
  readonly call: (world: World, args: readonly unknown[]) => unknown
  /** What the caller's own functions throw within it is handed on as it is. */
  readonly handsOn?: true
}

const METHODS = [
  ...[
    'enqueue',
    'tryEnqueue',
    'enqueueMany',
    'job',
    'jobs',
    'cancel',
    'revive',
    'reviveAll',
    'remove',
    'removeAll',
    'cancelAll',
    'runNow',
    'runNowAll',
    'change',
    'runAgain',
  ],
  ...[
    'schedule',
    'unschedule',
    'runSchedule',
    'pauseSchedule',
    'resumeSchedule',
    'schedules',
    'pause',
    'resume',
    'stats',
    'counts',
    'on',
    'off',
    'ready',
  ],
] as const

// Twice, so that adding comes up as often as its ways to go wrong ask for.
const ADDING = ['enqueue', 'tryEnqueue', 'enqueueMany'] as const

const { any } = tasks

/** All of them by name. */
export const targets: Readonly<Record<string, Target>> = {
  ...Object.fromEntries(METHODS.map((name) => [`runtime.${name}`, method(name)])),
  // With a task that is right, what comes after it is looked at.
  ...Object.fromEntries(
    ADDING.slice(0, 2).map((name) => [
      `runtime.${name}(any)`,
      { call: (world: World, args: readonly unknown[]) => method(name).call(world, [any, ...args]) },
    ]),
  ),
  'runtime.enqueueMany([any])': {
    call: (world, [payload, options, entry]) =>
      method('enqueueMany').call(world, [
        [{ task: any, payload: 1 }, { task: any, payload, options }, entry],
      ]),
  },
  'runtime.schedule(id)': { call: (world, args) => method('schedule').call(world, ['id', any, ...args]) },
  'runtime.stop': {
    call: async (world, [first, ...args]) => {
      const runtime = createRuntime({ tasks, log: false, pool: { threads: 1, warmUp: false } })
      world.undo.push(() => runtime.stop({ timeout: 0 }))
      // Nothing, and what is right, would wait for the timeout.
      return (runtime.stop as Any)(first ?? null, ...args)
    },
  },
  'job.cancel': {
    call: ({ runtime, jobs }, args) => {
      const job = runtime.enqueue(any, 1, { delay: 60_000 })
      jobs.push(job)
      return (job.cancel as Any).apply(job, [...args])
    },
  },
  'job.toJSON': { call: ({ jobs }, args) => jobs.map((job) => (job.toJSON as Any).apply(job, [...args])) },
  createRuntime: { call: keptRuntime(createRuntime as Any) },
  defineTask: { call: (_, args) => (defineTask as Any)(...args) },
  'defineTask(name)': {
    // What its functions make of a payload is looked at in a runtime of its own.
    call: async (world, [options, payload]) => {
      const given = { ...copyOf(options), name: 'own', handler: new URL('./handler.ts', import.meta.url) }
      const task = defineTask(given as never)
      const runtime = createRuntime({ tasks: [task], pool: { threads: 1, warmUp: false }, log: false })
      world.undo.push(() => runtime.stop({ timeout: 0 }))
      return (runtime.enqueue as Any)(task, payload)
    },
    handsOn: true,
  },
  memoryBroker: { call: (_, args) => (memoryBroker as Any)(...args) },
  sqliteBroker: { call: (_, args) => (sqliteBroker as Any)(...args) },
  bullmqBroker: { call: (_, args) => (bullmqBroker as Any)(...args) },
  after: { call: (_, args) => (after as Any)(...args) },
  shutdown: { call: keptShutdown((_, args) => args) },
  'shutdown(server, runtime)': {
    call: keptShutdown(({ runtime }, args) => [new Server(), runtime, ...args]),
  },
  openRequest: { call: (_, args) => (openRequest as Any)(...args) },
  'openRequest(runtime, request)': {
    call: ({ runtime }, args) => {
      const { req, res } = request()
      return (openRequest as Any)(runtime, req, res, ...args)
    },
  },
  ...Object.fromEntries(
    (['run', 'fail', 'status', 'follow'] as const).map((member) => [
      `openRequest().${member}`,
      {
        call: ({ runtime }: World, args: readonly unknown[]) => {
          const { req, res } = request()
          const opened = openRequest(runtime, req, res)
          return (opened[member] as Any).apply(opened, [...args])
        },
        handsOn: member === 'run',
      },
    ]),
  ),
  'runtime.on(event)': {
    // What a listener throws or returns is nobody else's affair.
    call: ({ runtime, jobs, undo }, [listener]) => {
      if (typeof listener !== 'function') return
      const own = listener as () => void
      runtime.on('job:enqueued', own)
      undo.push(() => void runtime.off('job:enqueued', own))
      jobs.push(runtime.enqueue(any, 1))
    },
  },
  'createRuntime(log)': {
    call: (world, [log, payload]) => {
      if (typeof log !== 'function') return
      const runtime = createRuntime({ tasks, log: log as () => void, pool: { threads: 1, warmUp: false } })
      world.undo.push(() => runtime.stop({ timeout: 0 }))
      runtime.on('job:enqueued', () => {
        throw payload
      })
      runtime.enqueue(any, 1)
    },
  },
  ...ofEdge('http', http),
  ...ofEdge('polka', polka),
  ...Object.fromEntries(
    Object.entries(errors).map(([name, exported]) => {
      const isClass = name.endsWith('Error')
      const call = (_: World, args: readonly unknown[]): unknown =>
        isClass ? Reflect.construct(exported, [...args]) : (exported as Any)(...args)
      return [`errors.${name}`, { call }]
    }),
  ),
}

/** What can be read of a value. */
function copyOf(value: unknown): object {
  try {
    return { ...(value as object) }
  } catch {
    return {}
  }
}

function method(name: (typeof METHODS)[number]): Target {
  return {
    call: ({ runtime, jobs, undo }, args) => {
      const result = (runtime[name] as Any).apply(runtime, [...args])
      jobs.push(...[result].flat().filter((one): one is Job => one instanceof Job))
      if (name === 'on') undo.push(() => (runtime.off as Any).apply(runtime, [...args]))
      return result
    },
  }
}

function keptRuntime(make: Any): Target['call'] {
  return (world, args) => {
    const [options] = args
    // Threads are what it costs.
    const isTooMuch = typeof options === 'object' && options !== null && hasPools(options)
    if (isTooMuch) return undefined
    const runtime = make(...args) as Runtime<AnyTask>
    world.undo.push(() => runtime.stop({ timeout: 0 }))
    return runtime
  }
}

function hasPools(options: object): boolean {
  try {
    return Reflect.has(options, 'pool') || Reflect.has(options, 'pools')
  } catch {
    return false
  }
}

function keptShutdown(read: (world: World, args: readonly unknown[]) => readonly unknown[]): Target['call'] {
  return (world, args) => {
    const made = (shutdown as Any)(...read(world, args)) as Shutdown
    world.undo.push(() => made.remove())
    return made
  }
}

/** A request that no server has, and its response. */
function request(): { req: IncomingMessage; res: ServerResponse } {
  const req = new IncomingMessage(new Socket())
  return { req, res: new ServerResponse(req) }
}

function ofEdge(name: string, edge: typeof http | typeof polka): Record<string, Target> {
  const afterResponse = edge.afterResponse as Any
  const middlewareOf = ({ runtime }: World): Any & { onError: Any } => afterResponse(runtime) as never
  return {
    [`${name}.afterResponse`]: { call: keptRuntime((...args) => fromOptions(afterResponse, args)) },
    [`${name}.afterResponse(runtime)`]: { call: ({ runtime }, args) => afterResponse(runtime, ...args) },
    [`${name}.failed`]: { call: (_, args) => (edge.failed as Any)(...args) },
    [`${name}.failed(response)`]: { call: (_, args) => (edge.failed as Any)(request().res, ...args) },
    [`${name}.middleware`]: { call: (world, args) => middlewareOf(world)(...args), handsOn: true },
    [`${name}.middleware(request)`]: {
      call: (world, args) => {
        const { req, res } = request()
        return middlewareOf(world)(req, res, ...args)
      },
      handsOn: true,
    },
    [`${name}.middleware(request, any)`]: {
      call: (world, [other, ...args]) => middlewareOf(world)(request().req, other, ...args),
      handsOn: true,
    },
    [`${name}.middleware(any, response)`]: {
      call: (world, [other, ...args]) => middlewareOf(world)(other, request().res, ...args),
      handsOn: true,
    },
    [`${name}.onError`]: { call: (world, args) => middlewareOf(world).onError(...args) },
    [`${name}.onError()`]: {
      call: (world, args) => (middlewareOf(world).onError() as Any)(...args),
      handsOn: true,
    },
    [`${name}.onError()(error, request)`]: {
      call: (world, [error, result]) => {
        const { req, res } = request()
        const job = added(world, req, res, middlewareOf(world))
        ;(middlewareOf(world).onError() as Any)(error, req, res, () => result)
        res.emit('finish')
        return job.state
      },
    },
    [`${name}: when, and the end of the response`]: {
      call: (world, [when, error, result]) => {
        const { req, res } = request()
        const middleware = middlewareOf(world)
        added(world, req, res, middleware, { when: typeof when === 'function' ? when : 'always' })
        added(world, req, res, middleware)
        ;(edge.failed as Any)(res, error)
        // What the chain hands back goes on to the caller.
        const handedBack = middleware(req, res, () => result)
        res.emit('finish')
        return handedBack
      },
      handsOn: true,
    },
    ...Object.fromEntries(
      (['after', 'tryAfter'] as const).map((add) => [
        `${name}.req.${add}`,
        {
          call: (world: World, args: readonly unknown[]) => {
            const { req, res } = request()
            middlewareOf(world)(req, res)
            const job = (req[add] as Any)(any, ...args) as Job | null
            if (job !== null) world.jobs.push(job)
            return job
          },
        },
      ]),
    ),
  }
}

/** A job of a request. */
function added(
  { jobs }: World,
  req: IncomingMessage,
  res: ServerResponse,
  middleware: Any,
  options: object = {},
): Job {
  middleware(req, res)
  let job: Job | undefined
  try {
    job = (req.after as Any)(any, 1, options) as Job
  } catch (error) {
    // An asynchronous function is refused.
    if (!(error instanceof errors.OptionsInvalidError)) throw error
    job = (req.after as Any)(any, 1) as Job
  }
  jobs.push(job)
  return job
}

/** The runtime that a middleware has made. */
function fromOptions(afterResponse: Any, args: readonly unknown[]): unknown {
  return (afterResponse(...args) as { runtime: unknown }).runtime
}
