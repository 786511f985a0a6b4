/** Paths into a value, such as `card.number`, `*.token` and `items[*].secret`, and which of its parts they lead to. */

/** One step of a path: a key, any key, or any number of steps. */
type Step = string | typeof ANY | typeof ANY_DEPTH

const ANY = Symbol('any key')
const ANY_DEPTH = Symbol('any number of steps')

const STEP = /(?:^|\.)(\*\*|\*|[^.[\]*"']+)|\[(\*|\d+|"[^"]+"|'[^']+')\]/y

/** What a path is to look like, for whoever gives something else. */
export const PATH_EXPECTED = "a path such as 'card.number', '*.token', 'items[*].secret' or '**.iban'"

/** True for what can be read as a path. */
export function isPath(path: unknown): path is string {
  return typeof path === 'string' && stepsOf(path) !== undefined
}

/** How far each path has been followed, at one place of a value. */
export type Progress = readonly number[]

const NOWHERE: Progress = []

/** Paths that are followed together. */
export class Paths {
  /** The steps of all paths, one after the other; undefined where one has ended. */
  readonly #steps: readonly (Step | undefined)[]
  /** At the root of a value. */
  readonly start: Progress

  constructor(paths: readonly string[]) {
    const steps: (Step | undefined)[] = []
    const start: number[] = []
    for (const path of paths) {
      start.push(steps.length)
      steps.push(...(stepsOf(path) ?? []), undefined)
    }
    this.#steps = steps
    this.start = paths.length === 0 ? NOWHERE : this.#closed(start)
  }

  /** The same one key further. */
  next(from: Progress, key: string): Progress {
    if (from.length === 0) return NOWHERE
    const reached: number[] = []
    for (const at of from) {
      const step = this.#steps[at]
      if (step === ANY_DEPTH) reached.push(at)
      else if (step !== undefined && (step === ANY || step === key)) reached.push(at + 1)
    }
    return reached.length === 0 ? NOWHERE : this.#closed(reached)
  }

  /** True where one of the paths leads. */
  isEnd(at: Progress): boolean {
    return at.some((place) => this.#steps[place] === undefined)
  }

  /** Any number of steps may be none. */
  #closed(places: readonly number[]): Progress {
    const all = new Set(places)
    for (const at of all) if (this.#steps[at] === ANY_DEPTH) all.add(at + 1)
    return [...all]
  }
}

function stepsOf(path: string): Step[] | undefined {
  const steps: Step[] = []
  if (path.startsWith('.')) return undefined
  STEP.lastIndex = 0
  let end = 0
  while (end < path.length) {
    const found = STEP.exec(path)
    if (found === null) return undefined
    end = STEP.lastIndex
    const [, name, index] = found
    const step = name ?? (index as string)
    steps.push(step === '*' ? ANY : step === '**' ? ANY_DEPTH : name === undefined ? unquoted(step) : step)
  }
  // A path to everything at any depth would end before its first step.
  return steps.length === 0 || steps.at(-1) === ANY_DEPTH ? undefined : steps
}

function unquoted(text: string): string {
  return /^["']/.test(text) ? text.slice(1, -1) : text
}
