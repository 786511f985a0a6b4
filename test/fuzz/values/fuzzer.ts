/**
 * Sends any JavaScript value through every way in and out of a thread. It arrives as structured clone has it, or is refused
 * with a typed error; nothing is uncaught, nothing hangs, and what was kept can be read after a restart.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import fc from 'fast-check'
import { z } from 'zod'
import { sqliteBroker } from '../../../src/brokers/sqlite.ts'
import { createRuntime, defineTask, type Job, type Task } from '../../../src/index.ts'
import { type Fuzzer, makeFuzzer } from '../fuzzer.ts'
import { differs } from './compare.ts'
import type { Way } from './handlers.ts'
import { fateOf, make, type Recipe, recipes } from './recipes.ts'

const module = new URL('./handlers.ts', import.meta.url)
const taskOf = (name: string) =>
  defineTask({ name, payload: z.any(), handler: { module, export: name } }) as Task<string, unknown>
const receive = taskOf('receive')
const send = taskOf('send')

/** One value, and the way that it goes. */
interface Program {
  readonly recipe: Recipe
  readonly way: Way | 'payload' | 'schedule'
  readonly broker: 'memory' | 'sqlite'
  /** The job is looked up again by the next process; its bytes may have been damaged in between. */
  readonly after: 'nothing' | 'restart' | 'damage'
}

const programs: fc.Arbitrary<Program> = fc.record({
  recipe: recipes,
  way: fc.constantFrom<Program['way']>('payload', 'result', 'progress', 'log', 'error', 'nested', 'schedule'),
  broker: fc.constantFrom<Program['broker']>('memory', 'sqlite'),
  after: fc.oneof(
    { weight: 60, arbitrary: fc.constant('nothing' as const) },
    { weight: 1, arbitrary: fc.constantFrom('restart' as const, 'damage' as const) },
  ),
})

type AnyRuntime = ReturnType<typeof start>

function start(file: string | undefined) {
  const broker = file === undefined ? {} : { broker: sqliteBroker({ file, durability: 'process' }) }
  // Every way is to carry every value, however deep.
  const most = { maxProgressBytes: 2 ** 25, maxLogBytes: 2 ** 25 }
  const runtime = createRuntime({
    tasks: [receive, send],
    log: false,
    pool: { threads: 1 },
    ...most,
    ...broker,
  })
  // Without a listener nothing would be decoded.
  for (const event of ['job:completed', 'job:progress', 'job:log', 'job:dead'] as const)
    runtime.on(event, () => {})
  return runtime
}

/** The runtimes of a search, and what escapes them. */
class Place {
  readonly folder = mkdtempSync(join(tmpdir(), 'aftertask-values-'))
  readonly file = join(this.folder, 'jobs.db')
  memory = start(undefined)
  sqlite = start(this.file)
  escaped: unknown
  readonly #note = (error: unknown): void => {
    this.escaped = error
  }

  constructor() {
    process.on('uncaughtException', this.#note).on('unhandledRejection', this.#note)
  }

  async restart(damages: boolean): Promise<void> {
    await this.sqlite.stop({ timeout: 5000 })
    if (damages) {
      const file = new DatabaseSync(this.file)
      // Starts as bytes of structured clone do, and goes on as nothing does.
      file.exec(`UPDATE jobs SET result = x'ff0f6f7d', progress = x'fe00', error = CASE WHEN error IS NULL THEN NULL
        ELSE '{"name":"Error","message":"thrown","more":{"base64":"/g=="}}' END WHERE finished IS NOT NULL`)
      file.close()
    }
    this.sqlite = start(this.file)
  }

  async close(): Promise<void> {
    await Promise.all([this.memory.stop({ timeout: 5000 }), this.sqlite.stop({ timeout: 5000 })])
    process.off('uncaughtException', this.#note).off('unhandledRejection', this.#note)
    rmSync(this.folder, { recursive: true })
  }
}

let place: Place

function fuzzerOf(from: fc.Arbitrary<Program>): Fuzzer {
  return makeFuzzer({
    name: 'values',
    programs: from,
    async open() {
      place = new Place()
      await Promise.all([place.memory.ready(), place.sqlite.ready()])
      return () => place.close()
    },
    async play(program) {
      const fault = await Promise.race([played(program), hang()])
      // What escapes comes a turn later.
      await new Promise(setImmediate)
      if (place.escaped === undefined) return fault
      const { escaped } = place
      place.escaped = undefined
      return `uncaught: ${escaped instanceof Error ? escaped.stack : String(escaped)}`
    },
  })
}

/** The fuzzer of values. */
export const fuzzer: Fuzzer = fuzzerOf(programs)

/** The part of it that reads jobs whose bytes were damaged in between. */
export const damageFuzzer: Fuzzer = fuzzerOf(
  fc.record({
    recipe: fc.constant(['leaf', 'date', 1] as const),
    way: fc.constantFrom('result' as const, 'progress' as const),
    broker: fc.constant('sqlite' as const),
    after: fc.constant('damage' as const),
  }),
)

const PATIENCE = 30_000

/** A job that does not end is a fault; how long one may take is not looked at. */
function hang(): Promise<string> {
  return new Promise((resolve) => setTimeout(() => resolve('it does not end'), PATIENCE).unref())
}

async function played(program: Program): Promise<string | undefined> {
  const runtime = program.broker === 'memory' ? place.memory : place.sqlite
  if (program.way === 'payload' || program.way === 'schedule') return givenIn(program, runtime)
  const { recipe, way } = program
  const told = way === 'log' ? nextLog(runtime) : undefined
  const job = runtime.enqueue(send, { recipe, way })
  const settled = await job.settled
  const fault = await outcomeFault(program, runtime, settled, told)
  return fault ?? kept(program, job)
}

/** A value that is given where a job is added. */
async function givenIn({ recipe, way }: Program, runtime: AnyRuntime): Promise<string | undefined> {
  const payload = [recipe, make(recipe, 'given')]
  const fate = fateOf(recipe)
  try {
    if (way === 'schedule') {
      runtime.schedule('s', receive, payload, { every: 1e9 })
      await runtime.unschedule('s')
      return fate === 'refused' ? 'it was taken' : undefined
    }
    const { state, result, error } = await runtime.enqueue(receive, payload).settled
    if (fate === 'either') return undefined
    if (state !== 'completed') return `the job failed: ${error?.stack}`
    return fate === 'refused' ? 'it was taken' : (result as string | undefined)
  } catch (error) {
    return fate === 'travels' || !isRefusal(error) ? `it was refused: ${String(error)}` : undefined
  }
}

/** What is wrong with how a value came out of a thread. */
async function outcomeFault(
  program: Program,
  runtime: AnyRuntime,
  settled: Awaited<Job['settled']>,
  told: Promise<unknown> | undefined,
): Promise<string | undefined> {
  const { recipe, way } = program
  const fate = fateOf(recipe)
  if (way === 'error') return errorFault(recipe, settled.error)
  const { state, result, error } = settled
  if (way === 'log') {
    if (state !== 'completed') return `the line failed the job: ${error?.stack}`
    const data = await told
    return fate === 'travels' ? differs(data, recipe) : undefined
  }
  if (state !== 'completed') {
    return fate !== 'travels' && isRefusal(error) ? undefined : `it failed with ${error?.stack}`
  }
  if (fate !== 'travels') return fate === 'refused' ? 'it was taken' : undefined
  if (way === 'result') return differs(itOf(result), recipe)
  return way === 'nested' ? nestedFault(runtime, String(result)) : undefined
}

/** An error arrives whatever is on it. */
function errorFault(recipe: Recipe, error: Error | undefined): string | undefined {
  if (error?.message !== 'thrown') return `it failed with ${error?.stack}`
  if (fateOf(recipe) !== 'travels' || make(recipe, 'given') === undefined) return undefined
  return differs(Reflect.get(error, 'own'), recipe)
}

/** What a handler returned, out of what holds it. */
function itOf(result: unknown): unknown {
  return Reflect.get(Object(result), 'it')
}

async function nestedFault(runtime: AnyRuntime, id: string): Promise<string | undefined> {
  for (;;) {
    const info = await runtime.job(id)
    if (info === undefined || info.state === 'completed') return info?.result as string | undefined
    if (info.state === 'dead') return `the nested job failed: ${info.error?.message}`
    await new Promise(setImmediate)
  }
}

/** What is wrong with a job that is read again, by the next process. */
async function kept({ recipe, way, broker, after }: Program, job: Job): Promise<string | undefined> {
  if (broker !== 'sqlite' || after === 'nothing') return undefined
  await place.restart(after === 'damage')
  const info = await place.sqlite.job(job.id)
  await place.sqlite.jobs({ limit: 100 })
  if (after === 'damage' || fateOf(recipe) !== 'travels') return undefined
  return way === 'result'
    ? differs(itOf(info?.result), recipe)
    : way === 'progress'
      ? differs(info?.progress, recipe)
      : undefined
}

function nextLog(runtime: AnyRuntime): Promise<unknown> {
  return new Promise((resolve) => {
    const hear = ({ data }: { data: unknown }): void => {
      runtime.off('job:log', hear)
      resolve(data)
    }
    runtime.on('job:log', hear)
  })
}

function isRefusal(error: unknown): boolean {
  return error instanceof Error && Reflect.get(error, 'code') === 'ERR_NOT_SERIALIZABLE'
}
