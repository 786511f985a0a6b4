/** `aftertask top`: one screen that shows how it stands, again and again. */
import { emitKeypressEvents } from 'node:readline'
import type { RuntimeStats } from '../engine/runtime-options.ts'
import type { JobInfo, JobState } from '../words/job.ts'
import type { Reach } from './answering.ts'
import { askFlags, asking, askUsage, EXIT, ended, type Page } from './command.ts'
import { positive } from './flags.ts'
import { jobLines } from './jobs.ts'
import { type Output, type Piece, styled } from './output.ts'
import { stateOf, tableLines } from './table.ts'

const usage = `aftertask top
  [--every 1]          seconds between two looks
  q or Ctrl+C ends it, p holds the picture. Without a terminal it shows one picture and ends.
${askUsage}`

const flags = { ...askFlags, every: { type: 'string', default: '1' } } as const

/** What one look has found. */
interface Picture {
  readonly name: string
  readonly at: number
  readonly counts: Readonly<Record<JobState, number>>
  /** Null where nothing runs. */
  readonly stats: RuntimeStats | null
  readonly running: readonly JobInfo[]
  readonly dead: readonly JobInfo[]
}

/** `aftertask top`. */
export const top = asking(usage, flags, 'look', async ({ values, reach, out }) => {
  const every = positive('every', values.every, usage) * 1000
  if (values.json || !out.isTerminal) {
    const picture = await take(reach)
    if (values.json) out.json(picture)
    else for (const line of linesOf(picture)) out.line(line)
    return EXIT.done
  }
  await watch(reach, out, every)
  return EXIT.done
})

async function take(reach: Reach): Promise<Picture> {
  const list = async (state: JobState): Promise<readonly JobInfo[]> =>
    (await reach.ask<Page>('jobs', { query: { state, limit: 20 } })).jobs
  const [counts, stats, running, dead] = await Promise.all([
    reach.ask<Record<JobState, number>>('counts'),
    reach.follow === null ? null : reach.ask<RuntimeStats>('stats'),
    list('running'),
    list('dead'),
  ])
  return { name: reach.name, at: Date.now(), counts, stats, running, dead }
}

/** One look after the other, never two at once: what is slow to answer is not asked more often for it. */
async function watch(reach: Reach, out: Output, every: number): Promise<void> {
  const keys = new Keys()
  const end = Promise.race([ended(reach), keys.quit])
  let isOver = false
  void end.then(() => {
    isOver = true
  })
  const giveBack = (): void => out.takeOver(false)
  process.once('exit', giveBack)
  out.takeOver(true)
  try {
    while (!isOver) {
      if (!keys.isHeld) out.screen(linesOf(await take(reach)))
      let timer: NodeJS.Timeout | undefined
      const pause = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, every)
      })
      await Promise.race([pause, end, keys.next()])
      clearTimeout(timer)
    }
  } finally {
    process.off('exit', giveBack)
    keys.close()
    giveBack()
  }
}

/** The keys that are pressed. In raw mode Ctrl+C is one of them. */
class Keys {
  isHeld = false
  readonly quit: Promise<void>
  readonly #press: (text: string, key: { name?: string; ctrl?: boolean }) => void
  #wake: () => void = () => {}

  constructor() {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.quit = promise
    this.#press = (_text, { name, ctrl }) => {
      if (name === 'q' || (ctrl === true && name === 'c')) resolve()
      if (name === 'p') this.isHeld = !this.isHeld
      this.#wake()
    }
    if (!process.stdin.isTTY) return
    emitKeypressEvents(process.stdin)
    process.stdin.setRawMode(true)
    process.stdin.on('keypress', this.#press)
  }

  next(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  close(): void {
    process.stdin.off('keypress', this.#press)
    if (process.stdin.isTTY) process.stdin.setRawMode(false)
    process.stdin.pause()
  }
}

function linesOf({ name, at, counts, stats, running, dead }: Picture): Piece[][] {
  const lines: Piece[][] = [
    [styled('bold', 'aftertask'), ` ${name} `, styled('dim', new Date(at).toISOString())],
  ]
  if (stats !== null) {
    const { phase, rate, pending, maxPending, broker } = stats
    const store = broker === undefined ? '' : `  store ${broker.state}`
    lines.push([`${phase}  ${rate.toFixed(1)} jobs/s  ${pending} of ${maxPending} pending${store}`])
  }
  lines.push([])
  const states = Object.entries(counts).filter(
    ([state, count]) => count > 0 || ['available', 'running', 'dead'].includes(state),
  )
  lines.push(states.flatMap(([state, count]) => [stateOf(state), ` ${count}   `]))
  if (stats !== null) {
    const rows = Object.entries(stats.pools).map(([pool, size]) => [
      pool,
      `${size.busy}/${size.threads}`,
      bar(size.busy, size.max),
    ])
    lines.push([], ...tableLines(['pool', 'busy', ''], rows))
  }
  if (running.length > 0) lines.push([], [styled('bold', 'running')], ...jobLines(running, at))
  if (dead.length > 0) lines.push([], [styled('bold', 'dead')], ...jobLines(dead, at))
  return lines
}

function bar(busy: number, max: number): string {
  const most = Math.min(max, 40)
  const full = max === 0 ? 0 : Math.round((busy / max) * most)
  return '█'.repeat(full) + '·'.repeat(most - full)
}
