/**
 * What of a job may be shown: in lines, on channels, in traces, in lists. The engine itself works with values as they are;
 * they are gone through here at the moment at which they leave, and nothing is done for those that nobody looks at.
 */
import { type Encoded, encodeAnyhow, readOrError, type Snapshot } from '../rules/codec.ts'
import type { JobRecord } from '../rules/job-record.ts'
import { Moved, sizeOf } from '../rules/moved.ts'
import { SecretNames } from '../rules/redaction/names.ts'
import { Paths } from '../rules/redaction/paths.ts'
import { HIDDEN, type Rules, redactValue, secretsIn } from '../rules/redaction/redact.ts'
import { TextRedaction } from '../rules/redaction/texts.ts'
import type { AnyTask } from '../rules/task.ts'

/** What `createRuntime({ redact })` takes. */
export type RedactOption =
  | false
  | {
      /** Names of keys that are secret at any depth, besides the default ones. */
      names?: readonly string[]
      /** Whether names such as `password`, `token` and `authorization` are secret. Default true. */
      defaults?: boolean
    }

// To read more than that for the secrets in it would hold up the event loop.
const MOST_READ = 2 ** 20

// Fields of events that hold what handlers say.
const SHOWN = ['error', 'result', 'progress', 'data', 'message', 'reason']

const NO_WORDS: ReadonlySet<string> = new Set()

/** Hides secrets. A task's paths count for its payloads, results, progress and the data of its lines. */
export class Redaction {
  readonly #names: SecretNames
  readonly #rules = new WeakMap<AnyTask, Rules>()
  /** By job: its texts are asked about several times in a row. */
  readonly #texts = new WeakMap<JobRecord, TextRedaction>()
  /** Where no word is known to be secret. */
  readonly #plain: TextRedaction
  readonly #ofNoTask: Rules

  constructor(option: RedactOption | undefined) {
    this.#names =
      option === false ? new SecretNames([], false) : new SecretNames(option?.names, option?.defaults ?? true)
    this.#plain = new TextRedaction(this.#names, NO_WORDS)
    this.#ofNoTask = { names: this.#names, paths: new Paths([]) }
  }

  /** A value of a job without what is secret in it; the same value where nothing is. */
  value<Value>(job: JobRecord | undefined, value: Value): Value {
    const texts = this.#textsOf(job)
    try {
      return redactValue(value, this.#rulesOf(job), (text) => texts.hide(text))
    } catch {
      // What fights back when it is read is not shown.
      return HIDDEN as Value
    }
  }

  /** A text without the secrets of a job's payload, and without passwords that it names. */
  text(job: JobRecord | undefined, text: string): string {
    return text === '' ? text : this.#textsOf(job).hide(text)
  }

  /** An error without the secrets of its job, in its texts and its properties; the same error where there are none. */
  error(job: JobRecord | undefined, error: Error): Error {
    const shown: unknown = this.value(job, error)
    return shown instanceof Error ? shown : new Error(HIDDEN)
  }

  /** An encoded value; the same where nothing is secret in it, which of most is known without reading it. */
  encoded(job: JobRecord, data: Encoded): Encoded {
    if (data === undefined) return undefined
    const hasNoPaths = job.entry.task.policy.redact.length === 0
    const texts = this.#textsOf(job)
    if (hasNoPaths && typeof data === 'string' && !texts.mayHideIn(data)) return data
    const value = readOrError(data, 'data')
    const shown = this.value(job, value)
    return shown === value ? data : encodeAnyhow(shown)
  }

  /** Facts about a job, such as its history: a task's paths lead into its values, not into these. */
  facts<Facts>(job: JobRecord, facts: Facts): Facts {
    const texts = this.#textsOf(job)
    return redactValue(facts, this.#ofNoTask, (text) => texts.hide(text))
  }

  /** What an event tells of a job, as it leaves the process. */
  event<Event extends object>(job: JobRecord | undefined, event: Event): Event {
    const shown = SHOWN.filter((key) => Reflect.get(event, key) !== undefined).map(
      (key) => [key, this.value(job, Reflect.get(event, key) as unknown)] as const,
    )
    return { ...event, ...Object.fromEntries(shown) }
  }

  #rulesOf(job: JobRecord | undefined): Rules {
    if (job === undefined) return this.#ofNoTask
    const { task } = job.entry
    let rules = this.#rules.get(task)
    if (rules === undefined) {
      rules = { names: this.#names, paths: new Paths(task.policy.redact) }
      this.#rules.set(task, rules)
    }
    return rules
  }

  #textsOf(job: JobRecord | undefined): TextRedaction {
    if (job === undefined) return this.#plain
    const known = this.#texts.get(job)
    if (known !== undefined) return known
    const words = this.#wordsOf(job)
    const texts = words.size === 0 ? this.#plain : new TextRedaction(this.#names, words)
    // What has completed has no payload any more; what was known of it is still true.
    if (job.payload !== undefined) this.#texts.set(job, texts)
    return texts
  }

  #wordsOf(job: JobRecord): ReadonlySet<string> {
    const { payload } = job
    if (payload === undefined || sizeOf(payload) > MOST_READ) return NO_WORDS
    const rules = this.#rulesOf(job)
    const { redact } = job.entry.task.policy
    // Most payloads hold no secret, and need not be read to know it.
    if (
      redact.length === 0 &&
      (typeof payload === 'string' ? !this.#names.mayBeIn(payload) : this.#names.isEmpty)
    )
      return NO_WORDS
    return secretsIn(payloadOf(payload), rules)
  }
}

function payloadOf(payload: Encoded | Moved | Snapshot): unknown {
  try {
    return payload instanceof Moved ? payload.copy('payload') : readOrError(payload, 'payload')
  } catch {
    return undefined
  }
}
