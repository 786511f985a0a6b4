/**
 * The judge: what was noted by those who added and ran, and by whoever did them harm, against what is promised. It asks
 * nothing of the library.
 *
 * 1. Work whose `stored` was told has come to its end, in some run, unless somebody cancelled it.
 * 2. Work runs again only if the run before had an excuse, from its beginning until its end must have been written. That is
 *    two seconds after it ended in which its process lived and moved, and the store had been well for five. Excuses are:
 *    it threw; its process was killed, or was at the end of the time for its stop; its process stood still for half a lease or
 *    more, or that of the second run had until two seconds before it, and began what was its own before; the run itself went
 *    on for nine tenths of a lease while the store was in trouble; it never ended, and its thread had to be ended for a job
 *    beside it that was cancelled and did not end either.
 * 3. Two jobs of one key run side by side only if the first had such an excuse.
 * 4. Work that was told to be cancelled and had not begun does not begin two seconds later: another process may be about to
 *    run it. An attempt that runs is asked to end; when its process dies before it has, rule 2 holds.
 * 5. A process that is told to stop is gone within its timeout and a second, not counting what it stood still for lack of a
 *    processor (half a second and more at a time). None goes by itself.
 * 6. Every error has a code of the library.
 * 7. Once all is well, the schedule goes on.
 */
import type { Deed, Line } from './trail.ts'

/** What holds for one run of the chaos. */
export interface Rules {
  /** Milliseconds of silence after which a process is given up. */
  readonly lease: number
  /** Milliseconds that a process takes to stop, at the most. */
  readonly stop: number
}

/** What the judge has found. */
export interface Verdict {
  readonly added: number
  readonly stored: number
  readonly refused: number
  readonly unstored: number
  readonly cancelled: number
  readonly runs: number
  /** Runs of work that had run before, by the excuse. */
  readonly again: Readonly<Record<string, number>>
  readonly stops: number
  /** Milliseconds. */
  readonly slowestStop: number
  readonly faults: readonly string[]
}

interface Run {
  readonly mark: string
  readonly by: string
  readonly key: string | undefined
  readonly begin: number
  end?: number
  hasThrown?: boolean
}

interface Span {
  readonly from: number
  readonly until: number
}

const WRITTEN_WITHIN = 2000
const RECOVERY = 5000
const STOP_SLACK = 1000

/** Judges a whole run of the chaos. */
export function judge(lines: readonly Line[], deeds: readonly Deed[], rules: Rules): Verdict {
  const runs = runsOf(lines)
  const history = new History(lines, deeds, rules, [...runs.values()].flat())
  const faults: string[] = []
  const again: Record<string, number> = {}
  const of = (what: string): Set<string> =>
    new Set(lines.filter((line) => line.what === what).map(({ mark }) => mark ?? ''))
  const [stored, cancelling] = [of('stored'), of('cancelling')]
  for (const mark of stored) {
    const hasEnded = runs.get(mark)?.some(({ end, hasThrown }) => end !== undefined && hasThrown !== true)
    if (hasEnded !== true && !cancelling.has(mark))
      faults.push(`${mark} was stored and never came to its end: ${course(runs.get(mark))}`)
  }
  for (const [mark, its] of runs) {
    for (const [at, next] of its.slice(1).entries()) {
      const before = its[at] as Run
      const excuse = history.excuse(before, next)
      if (excuse === undefined) faults.push(`${mark} ran again without an excuse: ${course(its)}`)
      else again[excuse] = (again[excuse] ?? 0) + 1
    }
  }
  faults.push(...besideEachOther([...runs.values()].flat(), history))
  for (const { mark = '', at } of lines.filter(({ what }) => what === 'cancelled')) {
    const [late] =
      runs.get(mark)?.filter(({ begin }, index) => index === 0 && begin > at + WRITTEN_WITHIN) ?? []
    if (late !== undefined)
      faults.push(`${mark} began ${Math.round(late.begin - at)} ms after it was cancelled`)
  }
  const stops = deeds.filter(({ what }) => what === 'told to stop')
  const took = stops.map(
    ({ by = '', at }) => [by, at, history.goneAt(by) - at - history.stillOf(by, at)] as const,
  )
  for (const [by, at, ms] of took) {
    if (ms > rules.stop + STOP_SLACK)
      faults.push(
        `${by} took ${Math.round(ms)} ms to stop (${history.storeAt(at)}; ${stepsOf(lines, by, at)})`,
      )
  }
  faults.push(...ownEnds(lines, deeds), ...foreignErrors(lines), ...silence(lines, deeds))
  return {
    ...{
      added: of('added').size,
      stored: stored.size,
      refused: of('refused').size,
      unstored: of('unstored').size,
    },
    cancelled: of('cancelled').size,
    runs: [...runs.values()].flat().length,
    again,
    stops: stops.length,
    slowestStop: Math.round(Math.max(0, ...took.map(([, , ms]) => ms))),
    faults,
  }
}

function runsOf(lines: readonly Line[]): Map<string, Run[]> {
  const runs = new Map<string, Run[]>()
  for (const { what, mark = '', by, at, key } of lines) {
    const its = runs.get(mark) ?? []
    if (what === 'begin') runs.set(mark, [...its, { mark, by, key, begin: at }])
    if (what !== 'end' && what !== 'threw') continue
    const run = its.findLast((one) => one.by === by && one.end === undefined)
    if (run !== undefined) Object.assign(run, { end: at, hasThrown: what === 'threw' })
  }
  // A process that stood still between its clock and the file writes late.
  for (const its of runs.values()) its.sort((a, b) => a.begin - b.begin)
  return runs
}

/** Who was killed, told to stop or stood still when, and when the store was in trouble. */
class History {
  readonly #rules: Rules
  readonly #killed = new Map<string, number>()
  readonly #told = new Map<string, number>()
  readonly #gone = new Map<string, number>()
  readonly #stills = new Map<string, Span[]>()
  /** Runs that were cancelled and never came to their end. */
  readonly #cancelled: readonly Run[]
  readonly #outages: (Span & { kind: string })[] = []

  constructor(lines: readonly Line[], deeds: readonly Deed[], rules: Rules, runs: readonly Run[]) {
    this.#rules = rules
    const cancelling = new Set(lines.filter(({ what }) => what === 'cancelling').map(({ mark }) => mark))
    this.#cancelled = runs.filter(({ mark, end }) => end === undefined && cancelling.has(mark))
    for (const { what, by = '', at, until = at, kind = '' } of deeds) {
      if (what === 'killed' || what === 'overdue') this.#killed.set(by, at)
      else if (what === 'told to stop') this.#told.set(by, at)
      else if (what === 'gone') this.#gone.set(by, at)
      else if (what === 'still') this.#still(by, { from: at, until })
      else if (what === 'store') this.#outages.push({ from: at, until, kind })
    }
    for (const { what, by, at, ms = 0 } of lines)
      if (what === 'slow') this.#still(by, { from: at - ms, until: at })
  }

  goneAt(by: string): number {
    return this.#gone.get(by) ?? Number.POSITIVE_INFINITY
  }

  /** Milliseconds that a process has stood still since then. */
  stillOf(by: string, since: number): number {
    const stills = this.#stills.get(by) ?? []
    return stills.reduce((sum, span) => sum + overlap(span, since, Number.POSITIVE_INFINITY), 0)
  }

  storeAt(at: number): string {
    const trouble = this.#outages.find(({ from, until }) => from <= at && at <= until + RECOVERY)
    return trouble === undefined ? 'the store was well' : `the store: ${trouble.kind}`
  }

  /** Why the work of a run may begin again at a time; undefined: it may not. */
  excuse(run: Run, { by, begin: again }: Run): string | undefined {
    if (run.hasThrown === true && (run.end ?? 0) <= again) return 'it threw'
    const until = Math.min(again, this.#writtenBy(run))
    const isWithin = (at: number | undefined): boolean => at !== undefined && at >= run.begin && at <= until
    const { lease, stop } = this.#rules
    if (isWithin(this.#killed.get(run.by))) return 'killed'
    if (this.#hasJustWoken(by, again)) return 'stood still'
    if (run.end === undefined && this.#cancelled.some((one) => isBeside(one, run, again)))
      return 'its thread was ended'
    const told = this.#told.get(run.by)
    if (told !== undefined && (isWithin(told + stop - 100) || isWithin(this.goneAt(run.by)))) return 'stopped'
    const stills = this.#stills.get(run.by) ?? []
    if (stills.some((span) => this.#isLong(span) && overlap(span, run.begin, until) > 0)) return 'stood still'
    const without = this.#outages.map((span) => overlap(span, run.begin, run.end ?? until))
    return without.reduce((sum, ms) => sum + ms, 0) >= lease * 0.9 ? 'without the store' : undefined
  }

  /** Whoever wakes begins with what was its own before it slept. */
  #hasJustWoken(by: string, at: number): boolean {
    const stills = this.#stills.get(by) ?? []
    return stills.some((span) => this.#isLong(span) && overlap(span, at - WRITTEN_WITHIN, at) > 0)
  }

  #isLong({ from, until }: Span): boolean {
    return until - from >= this.#rules.lease / 2
  }

  /** When the end of a run must have been written: after two seconds in a row in which nothing was wrong. */
  #writtenBy({ by, end }: Run): number {
    if (end === undefined) return Number.POSITIVE_INFINITY
    const wrong = [
      ...this.#outages.map(({ from, until }) => ({ from, until: until + RECOVERY })),
      ...(this.#stills.get(by) ?? []),
    ].sort((a, b) => a.from - b.from)
    let well = end
    for (const { from, until } of wrong) {
      if (from > well + WRITTEN_WITHIN) break
      well = Math.max(well, until)
    }
    return well + WRITTEN_WITHIN
  }

  #still(by: string, span: Span): void {
    this.#stills.set(by, [...(this.#stills.get(by) ?? []), span])
  }
}

function overlap({ from, until }: Span, begin: number, end: number): number {
  return Math.max(0, Math.min(until, end) - Math.max(from, begin))
}

function besideEachOther(runs: readonly Run[], history: History): string[] {
  const faults: string[] = []
  for (const [key, its] of Map.groupBy(runs, (run) => run.key ?? '')) {
    if (key === '') continue
    const inTurn = its.toSorted((a, b) => a.begin - b.begin)
    for (const [at, run] of inTurn.entries()) {
      const end = run.end ?? history.goneAt(run.by)
      for (const next of inTurn.slice(at + 1)) {
        if (next.begin >= end) break
        if (next.mark === run.mark || history.excuse(run, next) !== undefined) continue
        faults.push(`${next.mark} and ${run.mark} of the key ${key} ran side by side: ${course([run, next])}`)
      }
    }
  }
  return faults
}

/** Processes that went although nobody told them to, or in a way that says that something broke. */
function ownEnds(lines: readonly Line[], deeds: readonly Deed[]): string[] {
  const was = (by: string | undefined, ...whats: string[]): boolean =>
    deeds.some((deed) => deed.by === by && whats.includes(deed.what))
  const isReady = (by: string | undefined): boolean => lines.some((line) => line.by === by)
  return deeds
    .filter(({ what, by }) => what === 'gone' && !was(by, 'killed', 'overdue'))
    .filter(
      ({ by, code }) => !was(by, 'told to stop') || (code !== '0' && (code !== 'SIGTERM' || isReady(by))),
    )
    .map(({ by, code }) => `${by} ended with ${code}`)
}

function foreignErrors(lines: readonly Line[]): string[] {
  const codes = new Set(
    lines.flatMap(({ code }) => (code === undefined || code.startsWith('ERR_') ? [] : [code])),
  )
  return [...codes].map((code) => `an error without a code of the library: ${code}`)
}

/** The schedule must have gone on, eight seconds after all was well. */
function silence(lines: readonly Line[], deeds: readonly Deed[]): string[] {
  const calm = deeds.find(({ what }) => what === 'calm')
  if (calm === undefined) return []
  const ticks = lines.filter(
    ({ what, mark, at }) => what === 'begin' && mark?.startsWith('tick:') && at > calm.at,
  )
  return ticks.some(({ at }) => at > calm.at + 8000) ? [] : ['the schedule stood still once all was well']
}

function course(runs: readonly Run[] = []): string {
  const first = runs[0]?.begin ?? 0
  const after = (at: number | undefined): string => (at === undefined ? 'never' : `${Math.round(at - first)}`)
  return runs.length === 0
    ? 'it never began'
    : runs.map(({ by, begin, end }) => `${by} ${after(begin)} to ${after(end)} ms`).join(', ')
}

/** When a process has heard that it is to stop, and when its runtime had. */
function stepsOf(lines: readonly Line[], by: string, since: number): string {
  const its = lines.filter((line) => line.by === by && ['stopping', 'stopped', 'slow'].includes(line.what))
  return its
    .filter(({ at }) => at >= since)
    .map(({ what, at, ms = '' }) => `${what} ${ms} at ${Math.round(at - since)}`)
    .join(', ')
}

/** Whether a run was under way in the same process as another, before that began again. */
function isBeside({ mark, by, begin }: Run, run: Run, again: number): boolean {
  return mark !== run.mark && by === run.by && begin <= again && begin >= run.begin - WRITTEN_WITHIN
}
