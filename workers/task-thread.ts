/**
 * The entry of a worker thread: what Piscina runs in it, once. Takes the port and the table of its lane, imports the
 * handlers, and returns; from then on the thread runs what comes over the port.
 */
import { threadId } from 'node:worker_threads'
import {
  IMPORTING,
  type LaneReady,
  type LaneSetup,
  type LaneTable,
  laneTable,
} from '../src/rules/protocol.ts'
import type { Attempt } from './attempt.ts'
import { EscapedErrors } from './escaped-errors.ts'
import { type ImportHost, loadHandlers } from './handlers.ts'
import { JobRunner, type RunnerSetup } from './job-runner.ts'
import { tellLoadedFiles } from './loaded-files.ts'
import type { LoadedHandlers } from './loaded-handlers.ts'
import { markThread } from './own-thread.ts'
import { Printing } from './printing.ts'
import * as pristine from './pristine.ts'
import { closeSideDoors } from './side-door.ts'

export default function setUp(setup: LaneSetup): Promise<LaneReady> {
  return setUpThread(setup, (loaded) => loaded)
}

/** Sets a thread up whose handlers are called through what `around` makes of them. */
export async function setUpThread(
  setup: LaneSetup,
  around: (loaded: LoadedHandlers) => LoadedHandlers,
): Promise<LaneReady> {
  if (setup.env !== undefined) takeEnvironment(setup.env)
  // All of this comes before any handler, so that no module finds the way to the library's own things.
  let runner: JobRunner | undefined
  setup.port.on('message', (message: number | unknown[]) => runner?.receive(message))
  const isTold = setup.printed !== undefined
  const printing = [
    new Printing(process.stdout, isTold ? 'stdout' : undefined),
    new Printing(process.stderr, isTold ? 'stderr' : undefined),
  ]
  closeSideDoors()
  markThread()
  const escaped = new EscapedErrors<Attempt>()
  if (setup.tellsFiles) tellLoadedFiles(setup.port)
  const tracer = setup.tracer === undefined ? undefined : ((await import(setup.tracer)) as Tracer)
  const handlers = around(await loadHandlers(setup, importHost(laneTable(setup.table))))
  runner = new JobRunner({ ...setup, runInTrace: tracer?.runInTrace }, handlers, printing)
  escaped.attach(runner)
  return { threadId, problems: handlers.problems }
}

/** What a module of telemetry exports for threads. */
interface Tracer {
  readonly runInTrace: NonNullable<RunnerSetup['runInTrace']>
}

/** Tells of the imports where also a thread that is stuck or has died is read. */
function importHost({ header, results, resultLength }: LaneTable): ImportHost {
  return {
    importing: (task) => pristine.store(header, IMPORTING, task + 1),
    ruined(task, why) {
      try {
        resultLength[0] = pristine.write(results, why, 0)
      } finally {
        pristine.store(header, IMPORTING, -task - 1)
        pristine.endThread()
      }
    },
  }
}

/** Handlers see the environment as it was when the runtime was made, whenever their thread starts. */
function takeEnvironment(env: Readonly<Record<string, string>>): void {
  for (const name of Object.keys(process.env)) if (!(name in env)) delete process.env[name]
  for (const [name, value] of Object.entries(env)) if (process.env[name] !== value) process.env[name] = value
}
