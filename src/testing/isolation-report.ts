/** What the isolation suite found, and how a person reads it. */

/** What a handler is tried for. */
export type IsolationKind =
  | 'payload'
  | 'failed'
  | 'result'
  | 'exit'
  | 'escape'
  | 'global'
  | 'environment'
  | 'listener'
  | 'timer'
  | 'open'
  | 'memory'
  | 'twice'
  | 'cancel'
  | 'timeout'
  | 'endless'

/** One misdeed of a handler. */
export interface IsolationFinding {
  /** The task's name. */
  readonly task: string
  readonly kind: IsolationKind
  /** What was seen, as a sentence. */
  readonly message: string
}

/** How one handler did. */
export interface TriedHandler {
  /** The task's name. */
  readonly task: string
  /** Runs to their end. */
  readonly runs: number
  /** False when there was no payload to try it with. */
  readonly isTried: boolean
}

const REMEDIES: Readonly<Record<IsolationKind, string>> = {
  payload: 'Give a payload that the schema takes and that can travel: plain data.',
  failed: 'Give a payload with which it succeeds, or what it needs to be there.',
  result: 'Return plain data, or nothing.',
  exit: 'Throw in place of ending the process: the thread ends with it.',
  escape: 'Await every promise, and catch what is thrown in callbacks of timers and events.',
  global:
    'Keep what belongs to one job in variables of the handler: the next job of the thread sees all else.',
  environment: 'Pass settings as arguments: the next job of the thread sees the change.',
  listener:
    'Remove it in a finally, or add it with { signal: ctx.signal } or at the top level of the module.',
  timer: 'Clear it in a finally: it goes on when the job is over.',
  open: 'Close it in a finally, or open it once at the top level of the module.',
  memory: 'Bound what the module keeps, such as a cache or a list.',
  twice: 'A job may run twice, after a crash or a retry: look first whether the work has been done.',
  cancel: 'Give ctx.signal to what it waits for, and call ctx.signal.throwIfAborted() in loops.',
  timeout: 'Give ctx.signal to what it waits for, and call ctx.signal.throwIfAborted() in loops.',
  endless: 'Give the task a timeout, and see that the handler settles.',
}

/** Every kind that there is. */
export const ISOLATION_KINDS = Object.keys(REMEDIES)

/** What came of an isolation suite. */
export class IsolationReport {
  readonly findings: readonly IsolationFinding[]
  readonly handlers: readonly TriedHandler[]

  /** @internal */
  constructor(findings: readonly IsolationFinding[], handlers: readonly TriedHandler[]) {
    this.findings = findings
    this.handlers = handlers
  }

  /** True when every handler was tried and nothing was found. */
  get isClean(): boolean {
    return this.findings.length === 0 && this.handlers.every(({ isTried }) => isTried)
  }

  /** The report for a person: each handler, and below it what was found and what to do about it. */
  toString(): string {
    const blamed = new Set(this.findings.map(({ task }) => task)).size
    const untried = this.handlers.filter(({ isTried }) => !isTried).length
    const total = this.handlers.length
    const head = [
      `${blamed} of ${total} ${total === 1 ? 'handler' : 'handlers'} did what a handler should not`,
      ...(untried > 0 ? [`${untried} not tried`] : []),
    ]
    return [`${head.join(', ')}.`, ...this.handlers.flatMap((handler) => this.#linesOf(handler))].join('\n')
  }

  #linesOf({ task, runs, isTried }: TriedHandler): string[] {
    if (!isTried)
      return [`? ${task}: there is no payload to try it with. Give one: { payloads: { '${task}': … } }`]
    const own = this.findings.filter((finding) => finding.task === task)
    if (own.length === 0) return [`✓ ${task}: nothing in ${runs} ${runs === 1 ? 'run' : 'runs'}`]
    return [
      `✗ ${task}`,
      ...own.flatMap(({ kind, message }) => [`    ${kind}: ${message}`, `      ${REMEDIES[kind]}`]),
    ]
  }
}
