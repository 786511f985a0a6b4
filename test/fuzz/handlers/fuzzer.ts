/**
 * Handlers that do what handlers and their modules do, in any combination: they take over error events, replace globals,
 * post where they should not, leave things behind, end the process. Whatever they do: the server lives, each job has
 * one end, and the next job succeeds.
 */
import { existsSync, globSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import fc from 'fast-check'
import { z } from 'zod'
import type { Job } from '../../../src/engine/job.ts'
import { realPorts } from '../../../src/engine/ports.ts'
import { Runtime } from '../../../src/engine/runtime.ts'
import { PiscinaSource } from '../../../src/pools/piscina.ts'
import { ThreadPool } from '../../../src/pools/thread-pool.ts'
import { type AnyTask, defineTask } from '../../../src/rules/task.ts'
import type { EventJob } from '../../../src/words/events.ts'
import { type Fuzzer, makeFuzzer } from '../fuzzer.ts'
import { ends, handlerDeeds, moduleDeeds } from './deeds.ts'

/** A module with a handler, and how many jobs it gets. */
interface Module {
  readonly atImport: readonly string[]
  readonly inHandler: readonly string[]
  readonly end: string
  readonly jobs: number
}

/** Modules whose handlers share a pool, which is most of what a program costs. */
interface Program {
  readonly modules: readonly Module[]
  readonly concurrency: number
  readonly warmUp: boolean
  /** They are imported before the module of the innocent task. */
  readonly isFirst: boolean
}

const ROOT = new URL('../../../', import.meta.url)
/** Milliseconds after which a step that has not come to its end counts as one that never will. */
const HANGS_AFTER = 60_000
const NEVER = 'never finishes'
const TERMINAL = ['job:completed', 'job:dead', 'job:cancelled', 'job:skipped', 'job:lost'] as const

/** Deeds after which a thread may end, by the deed itself or since what runs jobs there has been broken. */
const ENDS_THREAD = /exit|break|replaces|throws from process|freezes proto|makes stacks|never finishes/

/**
 * Deeds that break what JavaScript itself stands on, for all code of the thread: jobs of one thread are not kept apart from
 * each other. After them a neighbour may fail, but it has its one end.
 */
const BREAKS_THREAD =
  /^breaks|^throws from then|^replaces (?:constructors|Promise|structured|Abort|Error|the clock|timers|queue|nextTick)|^freezes proto|^pollutes|^makes stacks|^limits stacks/

/** What a fuzzer is to look at, where it is not all. */
export interface Focus {
  /** What runs in the threads, in place of the library's own. */
  readonly entry?: URL | undefined
  /** The deeds and ends that are taken: those whose names fit. */
  readonly deeds?: RegExp
}

function programsOf(deeds: RegExp): fc.Arbitrary<Program> {
  const named = (of: Readonly<Record<string, string>>): string[] =>
    Object.keys(of).filter((name) => name !== NEVER && deeds.test(name))
  const module = fc.record({
    atImport: fc.array(
      // An import that never ends takes the time of many programs.
      fc.oneof(
        { weight: 199, arbitrary: fc.constantFrom(...named(moduleDeeds)) },
        { weight: deeds.test(NEVER) ? 1 : 0, arbitrary: fc.constant(NEVER) },
      ),
      { maxLength: 3 },
    ),
    inHandler: fc.array(fc.constantFrom(...named(handlerDeeds)), { maxLength: 4 }),
    end: fc.constantFrom(...named(ends)),
    jobs: fc.integer({ min: 1, max: 2 }),
  })
  return fc.record({
    modules: fc.array(module, { minLength: 1, maxLength: 4 }),
    concurrency: fc.constantFrom(1, 4),
    warmUp: fc.boolean(),
    isFirst: fc.boolean(),
  })
}

function sourceOf({ atImport, inHandler, end }: Module): string {
  return [
    ...atImport.map((deed) => `${moduleDeeds[deed]} // ${deed}`),
    'export default async (payload, ctx) => {',
    ...inHandler.map((deed) => `  ${handlerDeeds[deed]} // ${deed}`),
    `  ${ends[end]} // ${end}`,
    '}',
    '',
  ].join('\n')
}

/** Makes the fuzzer. */
export function handlersFuzzer({ entry, deeds = /./ }: Focus = {}): Fuzzer {
  const folder = mkdtempSync(join(tmpdir(), 'aftertask-fuzz-handlers-'))
  const escaped: unknown[] = []
  let files = 0

  const taskOf = (name: string, source: string): AnyTask => {
    const file = join(folder, `${name}-${++files}.mjs`)
    writeFileSync(file, source)
    return defineTask({ name, payload: z.unknown(), handler: pathToFileURL(file), timeout: 150 }) as AnyTask
  }

  const play = async (program: Program): Promise<string | undefined> => {
    const innocent = taskOf('innocent', 'export default (payload) => payload')
    const { modules, concurrency, warmUp, isFirst } = program
    const bad = modules.map((module, index) => taskOf(`bad${index}`, sourceOf(module)))
    // A module that does so as its thread starts is left out there.
    const maiming = modules.flatMap(({ atImport, inHandler }) =>
      warmUp ? inHandler : [...atImport, ...inHandler],
    )
    const mayMaim = maiming.some((deed) => BREAKS_THREAD.test(deed))
    const pool = { threads: 1, concurrency, warmUp }
    const runtime = new Runtime(
      {
        tasks: isFirst ? [...bad, innocent] : [innocent, ...bad],
        pool,
        killGrace: 30,
        log: false,
        handlerGrace: 0,
      },
      {
        ...realPorts,
        makePool: (parts) =>
          new ThreadPool({ ...parts, importTimeout: 3000 }, new PiscinaSource(parts.options, entry)),
      },
    ) as Runtime<AnyTask>
    const told = new Map<string, string[]>()
    for (const name of TERMINAL) {
      runtime.on(name, ({ job }: { job: EventJob }) => {
        told.set(job.id, [...(told.get(job.id) ?? []), name])
      })
    }
    runtime.on('thread:error', () => {})
    try {
      const ready = await within(
        'ready()',
        runtime.ready().then(
          () => undefined,
          (error: unknown) => error,
        ),
      )
      if (ready !== undefined && Reflect.get(ready as object, 'code') !== 'ERR_HANDLER_NOT_FOUND') {
        return `ready() rejected with ${String(ready)}`
      }
      const jobs = [
        ...bad.flatMap((task, index) =>
          Array.from({ length: modules[index]?.jobs ?? 0 }, () => runtime.enqueue(task, 'mine')),
        ),
        runtime.enqueue(innocent, 'beside', { timeout: HANGS_AFTER }),
      ]
      const settled = await within('the jobs', Promise.all(jobs.map((job) => job.settled)))
      const crash = crashWithoutDeed(program, settled)
      if (crash !== undefined) return crash
      const next = runtime.enqueue(innocent, 'next', { timeout: HANGS_AFTER })
      const harm = await harmTo([...jobs.slice(-1), next])
      if (harm !== undefined && !mayMaim) return harm
      await within('stop()', runtime.stop({ timeout: 1000 }))
      const wrong = wrongEnds([...jobs, next], told)
      if (wrong !== undefined) return wrong
      return escaped.length > 0 ? `the server would be down: ${String(escaped.splice(0)[0])}` : undefined
    } finally {
      await runtime.stop({ timeout: 0 })
    }
  }

  return makeFuzzer({
    name: 'handlers',
    programs: programsOf(deeds),
    play,
    show: (program) => [JSON.stringify(program), ...program.modules.map(sourceOf)].join('\n'),
    async open() {
      const note = (error: unknown): void => void escaped.push(error)
      process.on('uncaughtException', note)
      process.on('unhandledRejection', note)
      return async () => {
        process.off('uncaughtException', note)
        process.off('unhandledRejection', note)
        for (const file of readdirSync(folder)) rmSync(join(folder, file))
      }
    },
  })
}

/** What became of jobs that have nothing to do with the program, when that is not what should. */
async function harmTo(innocents: readonly Job[]): Promise<string | undefined> {
  const settled = await within('the next job', Promise.all(innocents.map((job) => job.settled)))
  const harmed = settled.find(({ state }) => state !== 'completed')
  return harmed && `the innocent job is ${harmed.state}: ${String(harmed.error?.stack)}`
}

function crashWithoutDeed(
  program: Program,
  settled: readonly { readonly error?: Error }[],
): string | undefined {
  const deeds = program.modules.flatMap(({ atImport, inHandler, end }) => [...atImport, ...inHandler, end])
  const crashed = settled.find(({ error }) => Reflect.get(error ?? {}, 'code') === 'ERR_THREAD_EXITED')
  if (crashed === undefined || deeds.some((deed) => ENDS_THREAD.test(deed))) return undefined
  return `nothing ended a thread, but a job died of that: ${crashed.error?.message}`
}

function wrongEnds(
  jobs: readonly { readonly id: string; readonly name: string }[],
  told: ReadonlyMap<string, readonly string[]>,
): string | undefined {
  for (const [id, names] of told) if (names.length > 1) return `${id} had several ends: ${names.join(', ')}`
  const silent = jobs.find((job) => !told.has(job.id))
  return silent && `the end of ${silent.name} was not told`
}

/** Waits for a step, but not for ever. */
async function within<Value>(what: string, step: Promise<Value>): Promise<Value> {
  const { promise, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error(`${what} never came to an end`)), HANGS_AFTER)
  try {
    return await Promise.race([step, promise])
  } finally {
    clearTimeout(timer)
  }
}

/** The thread as it is built starts in less than half the time; it is taken when nothing of its source is newer. */
function builtThread(): URL | undefined {
  const built = fileURLToPath(new URL('dist/workers/task-thread.js', ROOT))
  if (!existsSync(built)) return undefined
  const { mtimeMs } = statSync(built)
  const sources = ['workers', 'src'].flatMap((folder) =>
    globSync(`${folder}/**/*.ts`, { cwd: fileURLToPath(ROOT) }),
  )
  const isOld = sources.some((file) => statSync(new URL(file, ROOT)).mtimeMs > mtimeMs)
  return isOld ? undefined : pathToFileURL(built)
}

export const fuzzer: Fuzzer = handlersFuzzer({ entry: builtThread() })
