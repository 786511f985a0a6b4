/** Which failures are the same: by task, code, message without what differs from job to job, and place in the user's code. */
import { fileURLToPath } from 'node:url'
import type { ErrorWords } from './job-match.ts'

/** The part of an error by which it is grouped. */
export interface FailureWords extends ErrorWords {
  readonly stack: string | undefined
}

/** One kind of failure, as it is counted. */
export interface CountedFailure {
  readonly task: string
  readonly code: string
  readonly message: string
  /** The first frame of the user's own code in the stack of the newest. */
  frame: string | undefined
  count: number
  firstAt: number
  lastAt: number
  /** The number of the newest among those that were added. */
  sample: number
}

/** What of a message is looked at. */
const LONGEST = 500
const MOST_FRAMES = 50
const MOST_TEXTS = 200

// The files of this library: in `dist` of the package, or in `src` and `workers` of its source.
const [, ROOT = ''] = /^(.*\/)(?:dist|src)\//.exec(fileURLToPath(import.meta.url).replaceAll('\\', '/')) ?? []
const OWN = ['dist/', 'src/', 'workers/'].map((folder) => ROOT + folder)

// What differs between errors of one kind, the longest forms first: a number in a path is no number by itself.
const VARIABLE: readonly RegExp[] = [
  /\b[a-z][a-z\d+.-]{1,15}:\/\/[^\s"'<>)\]]+/gi,
  /\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+/g,
  /\b[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}\b/gi,
  /\b\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:?\d\d)?/g,
  /(?:\b[a-z]:|(?<![\w.]))[\\/](?:[\w.@~-]+[\\/])*[\w.@~-]+/gi,
  /\b(?=[a-z_-]*\d)(?=[\d_-]*[a-z])[\w-]{8,}\b/gi,
  /\b0x[\da-f]+\b/gi,
  /(?<!\w)[-+]?\d+(?:[.,:]\d+)*/g,
]

/** A message without what differs from job to job: `#` stands for ids, numbers, addresses, paths and times. */
export function sameMessage(message: string): string {
  const [line = ''] = message.slice(0, LONGEST).split('\n')
  return VARIABLE.reduce((text, variable) => text.replace(variable, '#'), line).trim()
}

/** The first frame of a stack that is neither of Node, nor of a package, nor of this library. */
export function ownFrame(stack: string | undefined): string | undefined {
  const lines = stack?.split('\n', MOST_FRAMES) ?? []
  const frame = lines.find((line) => /^\s+at /.test(line) && isOwn(line))
  return frame?.trim().slice(3)
}

function isOwn(line: string): boolean {
  if (/node:|node_modules|<anonymous>|native|^\s+at (?:async )?Promise\.all/.test(line)) return false
  const path = line.replaceAll('\\', '/')
  return !OWN.some((folder) => path.includes(folder))
}

/** The frame without its line, which moves with every change to the file. */
function placeOf(frame: string | undefined): string {
  return frame?.replace(/:\d+:\d+\)?$/, '') ?? ''
}

/** Counts failures by kind. */
export class FailureGroups {
  readonly #groups = new Map<string, CountedFailure>()
  /** By all that an error says, for the first kinds of texts. */
  readonly #byText = new Map<string, { readonly group: CountedFailure; readonly frame: string | undefined }>()

  /** `index` is a number by which the caller finds the job again. */
  add(task: string, error: FailureWords, at: number, index: number): void {
    const code = error.code ?? error.name
    // Most are alike to the letter, and to see what is the same in two messages costs far more than to compare them.
    const text = `${task}\0${code}\0${error.message}\0${error.stack}`
    const known = this.#byText.get(text)
    const frame = known?.frame ?? ownFrame(error.stack)
    const group = known?.group ?? this.#groupOf(task, code, error.message, frame, at, index)
    if (known === undefined && this.#byText.size < MOST_TEXTS) this.#byText.set(text, { group, frame })
    group.count++
    group.firstAt = Math.min(group.firstAt, at)
    if (at < group.lastAt) return
    group.lastAt = at
    group.frame = frame
    group.sample = index
  }

  #groupOf(
    task: string,
    code: string,
    full: string,
    frame: string | undefined,
    at: number,
    sample: number,
  ): CountedFailure {
    const message = sameMessage(full)
    const key = JSON.stringify([task, code, message, placeOf(frame)])
    let group = this.#groups.get(key)
    if (group === undefined) {
      group = { task, code, message, frame, count: 0, firstAt: at, lastAt: at, sample }
      this.#groups.set(key, group)
    }
    return group
  }

  /** The kinds, the one that came last first. */
  all(): CountedFailure[] {
    return [...this.#groups.values()].sort(
      (one, other) => other.lastAt - one.lastAt || other.count - one.count,
    )
  }
}
