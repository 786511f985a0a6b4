/** Tries the handlers of a runtime for what one job could do to the next, on real threads of their own. */
import { AssertionError } from 'node:assert/strict'
import { isDeepStrictEqual } from 'node:util'
import { type AnyRuntime, isRuntime, type Runtime } from '../engine/runtime.ts'
import { isList, isRecord, messageOf, refusal } from '../rules/arguments.ts'
import { CLOSE_LOOKS, MEMORY_STRIDE } from '../rules/isolation-protocol.ts'
import type { AnyTask, PayloadOf } from '../rules/task.ts'
import { describeValue } from '../words/describe.ts'
import {
  ISOLATION_KINDS,
  type IsolationFinding,
  type IsolationKind,
  IsolationReport,
  type TriedHandler,
} from './isolation-report.ts'
import { type Run, Trial } from './isolation-trial.ts'

/** What `isolationSuite` takes. */
export interface IsolationOptions<Tasks extends AnyTask = AnyTask> {
  /** A payload for each task, by its name. Without one, a task is tried with none, where its schema takes that. */
  payloads?: { readonly [Name in Tasks['name']]?: PayloadOf<Extract<Tasks, { readonly name: Name }>> }
  /** The tasks to try, by their names. Default: all. */
  only?: readonly Tasks['name'][]
  /** What a task's handler is allowed, by the task's name. */
  except?: { readonly [Name in Tasks['name']]?: readonly IsolationKind[] }
  /**
   * For tasks whose handlers change something outside: reads how things stand, after one run and after two. They are to be
   * equal. By the tasks' names.
   */
  effects?: { readonly [Name in Tasks['name']]?: () => unknown }
  /** Runs over which the memory is looked at. Fewer when they do not fit into `patience`. Default 100. */
  runs?: number
  /** Milliseconds that one run may take, and all the runs over which the memory is looked at. Default 10,000. */
  patience?: number
  /** False: resolves to the report also when something was found. Default true. */
  throws?: boolean
}

/** Growth that a run may have: caches of the engine and of Node's own modules fill up for many runs. */
const BYTES_OF_A_RUN = 16_384
const OPTIONS: readonly string[] = ['payloads', 'only', 'except', 'effects', 'runs', 'patience', 'throws']

/**
 * Tries each handler of a runtime on a real thread of its own: what a run leaves behind for the next one (globals, prototypes,
 * the environment, listeners, timers, what it has opened, memory), whether it ends within its grace when it is cancelled or
 * times out, whether payload and result travel, whether it may run twice. The jobs that it adds do not run. The runtime itself is
 * not used, only its tasks and settings.
 *
 * @throws AssertionError (as a rejection) with the report, when something was found or a task has no payload to try it with.
 * OptionsInvalidError when an option is unknown or has a bad value.
 */
export async function isolationSuite<Tasks extends AnyTask>(
  runtime: Runtime<Tasks>,
  options: IsolationOptions<Tasks> = {},
): Promise<IsolationReport> {
  const read = readOptions(runtime, options)
  const findings: IsolationFinding[] = []
  const handlers: TriedHandler[] = []
  for (const task of (runtime as AnyRuntime).tasks) {
    if (read.only !== undefined && !read.only.includes(task.name)) continue
    const tried = new TriedTask(runtime as AnyRuntime, task, read)
    handlers.push(await tried.try())
    findings.push(...tried.findings)
  }
  const report = new IsolationReport(findings, handlers)
  if (read.throws && !report.isClean)
    throw new AssertionError({
      message: String(report),
      operator: 'isolationSuite',
      stackStartFn: isolationSuite,
    })
  return report
}

interface ReadOptions {
  readonly payloads: Readonly<Record<string, unknown>>
  readonly only: readonly string[] | undefined
  readonly except: Readonly<Record<string, readonly string[]>>
  readonly effects: Readonly<Record<string, () => unknown>>
  readonly runs: number
  readonly patience: number
  readonly throws: boolean
}

class TriedTask {
  readonly findings: IsolationFinding[] = []
  readonly #runtime: AnyRuntime
  readonly #task: AnyTask
  readonly #options: ReadOptions
  #runs = 0

  constructor(runtime: AnyRuntime, task: AnyTask, options: ReadOptions) {
    this.#runtime = runtime
    this.#task = task
    this.#options = options
  }

  async try(): Promise<TriedHandler> {
    const { name } = this.#task
    const hasPayload = Object.hasOwn(this.#options.payloads, name)
    const trial = new Trial(this.#runtime, this.#task, this.#options.payloads[name])
    try {
      await trial.ready()
      const isTried = await this.#tryWith(trial, hasPayload)
      return { task: name, runs: this.#runs, isTried }
    } catch (error) {
      this.#find('failed', messageOf(error))
      return { task: name, runs: this.#runs, isTried: true }
    } finally {
      await trial.stop()
    }
  }

  #find(kind: IsolationKind, message: string): void {
    const { name: task } = this.#task
    if (this.#options.except[task]?.includes(kind) === true) return
    if (!this.findings.some((finding) => finding.kind === kind && finding.message === message))
      this.findings.push({ task, kind, message })
  }

  async #tryWith(trial: Trial, hasPayload: boolean): Promise<boolean> {
    try {
      const first = await this.#run(trial)
      if (first === undefined) return true
      await this.#tryTwice(trial, first)
    } catch (error) {
      const code = codeOf(error)
      if (code !== 'ERR_PAYLOAD_INVALID' && code !== 'ERR_NOT_SERIALIZABLE') throw error
      if (code === 'ERR_PAYLOAD_INVALID' && !hasPayload) return false
      this.#find('payload', messageOf(error))
      return true
    }
    return true
  }

  /** Runs it once; undefined when it does not come to an end, or takes its thread with it. */
  async #run(trial: Trial): Promise<Run | undefined> {
    const timeout = Math.min(trial.timeout, this.#options.patience)
    const run = await trial.run({ timeout })
    this.#runs++
    this.#look(run)
    const { error, escaped, endedThread } = run
    const code = codeOf(error)
    if (code === 'ERR_TASK_TIMEOUT') {
      this.#find('endless', `it had not ended after ${timeout} ms`)
      return undefined
    }
    if (escaped.length > 0)
      for (const { message } of escaped) this.#find('escape', `an error escaped it: ${message}`)
    else if (code === 'ERR_NOT_SERIALIZABLE' || code === 'ERR_RESULT_INVALID')
      this.#find('result', messageOf(error))
    else if (endedThread) this.#find('exit', messageOf(error))
    else if (error !== undefined) this.#find('failed', messageOf(error))
    return endedThread ? undefined : run
  }

  async #tryTwice(trial: Trial, first: Run): Promise<void> {
    const effects = this.#options.effects[this.#task.name]
    const before = await effects?.()
    const second = await this.#run(trial)
    if (first.state === 'completed') this.#compare(first, second, before, await effects?.())
    if (second === undefined) return
    await this.#lookAtMemory(trial)
    await this.#tryToEnd(trial, second)
  }

  #look({ seen }: Run): void {
    for (const change of seen?.changes ?? []) this.#find('global', change)
    for (const change of seen?.environment ?? []) this.#find('environment', change)
    for (const name of seen?.listeners ?? []) this.#find('listener', `each run leaves a listener for ${name}`)
    for (const { type, where } of seen?.open ?? []) {
      const at = where === '' ? '' : `, from ${where}`
      if (type === 'Timeout') this.#find('timer', `each run leaves a timer${at}`)
      else this.#find('open', `each run leaves a ${type} open${at}`)
    }
  }

  #compare(first: Run, second: Run | undefined, before: unknown, after: unknown): void {
    if (second?.state !== 'completed')
      return this.#find(
        'twice',
        `it fails when it runs again: ${second?.error?.message ?? 'it does not end'}`,
      )
    if (!isDeepStrictEqual(first.result, second.result))
      this.#find(
        'twice',
        `its result is another when it runs again: ${describeValue(first.result)}, then ${describeValue(second.result)}`,
      )
    if (!isDeepStrictEqual(before, after))
      this.#find('twice', 'what it does outside is done again when it runs again: its effects differ')
  }

  async #lookAtMemory(trial: Trial): Promise<void> {
    const { runs, patience } = this.#options
    const bytes: number[] = []
    const files: number[] = []
    const until = performance.now() + patience
    for (let run = CLOSE_LOOKS + 1; run <= runs && performance.now() < until; run++) {
      const done = await this.#run(trial)
      if (done === undefined) return
      const { memory, files: open } = done.seen ?? {}
      if (memory !== undefined) bytes.push(memory)
      if (open !== undefined) files.push(open)
    }
    // What grows once has been set up; what grows each time is kept.
    const [slowest, total] = growth(bytes)
    if (slowest > BYTES_OF_A_RUN)
      this.#find('memory', `each run keeps ${Math.round(total / 1024)} KB that is never let go`)
    const [fewest] = growth(files)
    if (fewest >= 0.5) this.#find('open', 'each run leaves a file open')
  }

  async #tryToEnd(trial: Trial, { ran }: Run): Promise<void> {
    this.#lookAtEnd(trial, 'cancel', await trial.run({}, true))
    this.#lookAtEnd(trial, 'timeout', await trial.run({ timeout: Math.max(1, Math.round(ran / 2)) }))
  }

  /** A handler that was asked to end, and has taken its thread with it. */
  #lookAtEnd({ grace }: Trial, asked: 'cancel' | 'timeout', { escaped, endedThread, overstayed }: Run): void {
    const on = asked === 'cancel' ? 'on a cancel' : 'on its timeout'
    if (overstayed) this.#find(asked, `it was still running ${grace} ms after its signal had aborted, ${on}`)
    else if (escaped.length > 0)
      this.#find('escape', `an error escaped it once its signal had aborted, ${on}`)
    else if (endedThread) this.#find('exit', `it ended its thread once its signal had aborted, ${on}`)
  }
}

function codeOf(error: unknown): unknown {
  return typeof error === 'object' && error !== null ? Reflect.get(error, 'code') : undefined
}

/** What a run adds from one look to the next: at least, and on average. */
function growth(looks: readonly number[]): readonly [number, number] {
  const steps = looks.slice(1).map((look, index) => (look - (looks[index] as number)) / MEMORY_STRIDE)
  if (steps.length < 2) return [0, 0]
  return [Math.min(...steps), steps.reduce((sum, step) => sum + step, 0) / steps.length]
}

function readOptions(runtime: unknown, given: unknown): ReadOptions {
  const refuse = (name: string, value: unknown, expected: string): never => {
    throw refusal('isolationSuite', name, value, expected)
  }
  if (!isRuntime(runtime)) refuse('the runtime', runtime, 'what createRuntime or createTestRuntime returned')
  if (!isRecord(given)) return refuse('the options', given, 'an object such as { payloads }')
  const options = given as Readonly<Record<string, unknown>>
  for (const name of Object.keys(options)) {
    if (!OPTIONS.includes(name)) refuse(`the option ${name}`, options[name], `one of ${OPTIONS.join(', ')}`)
  }
  const names = (runtime as AnyRuntime).tasks.map(({ name }) => name)
  const byTask = (name: string): Readonly<Record<string, never>> => {
    const value = options[name] ?? {}
    if (!isRecord(value)) refuse(`the option ${name}`, value, 'an object, by the names of tasks')
    for (const task of Object.keys(value as object)) {
      if (!names.includes(task)) refuse(`the option ${name}`, task, `names of tasks: ${names.join(', ')}`)
    }
    return value as Readonly<Record<string, never>>
  }
  const count = (name: string, otherwise: number): number => {
    const value = options[name] ?? otherwise
    const isCount = typeof value === 'number' && Number.isSafeInteger(value) && value > 0
    return isCount ? value : refuse(`the option ${name}`, value, 'a whole number, 1 or more')
  }
  const { only, throws = true } = options
  const areNames = only === undefined || (isList(only) && only.every((name) => names.includes(String(name))))
  if (!areNames) refuse('the option only', only, `an array of names of tasks: ${names.join(', ')}`)
  if (typeof throws !== 'boolean') refuse('the option throws', throws, 'true or false')
  const effects: Readonly<Record<string, () => unknown>> = byTask('effects')
  for (const [task, read] of Object.entries(effects)) {
    if (typeof read !== 'function') refuse(`effects["${task}"]`, read, 'a function')
  }
  const except: Readonly<Record<string, readonly string[]>> = byTask('except')
  for (const [task, kinds] of Object.entries(except)) {
    const areKinds = isList(kinds) && kinds.every((kind) => ISOLATION_KINDS.includes(String(kind)))
    if (!areKinds) refuse(`except["${task}"]`, kinds, `an array of ${ISOLATION_KINDS.join(', ')}`)
  }
  return {
    payloads: byTask('payloads'),
    except,
    effects,
    only: only as readonly string[] | undefined,
    runs: count('runs', 100),
    patience: count('patience', 10_000),
    throws: throws as boolean,
  }
}
