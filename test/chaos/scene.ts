/** One store, four processes over it, and the director who does them harm until the time is over. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type StoreServer, storeServer, whyNot } from '../kit/store-servers.ts'
import { wrongClock, wrongClocks } from '../kit/wrong-clock.ts'
import type { Verdict } from './judge.ts'
import { Member } from './member.ts'
import { type Deed, type Line, note, now, read } from './trail.ts'
import { ofJournal, ofPostgres, ofRedis, type StoreTrouble } from './troubles.ts'

/** What processes are put over. */
export const STORES = ['redis', 'valkey', 'postgres', 'journal'] as const
export type Store = (typeof STORES)[number]

/** What came of it. */
export interface Outcome {
  readonly store: Store
  readonly verdict: Verdict
  readonly lines: readonly Line[]
  readonly deeds: readonly Deed[]
}

const SLOTS = [0, 1, 2, 3]
const STOP = 1500
const LEASE = 5000
// What a shared journal waits for a silent process.
const SILENCE = 30_000
const QUICK_RESTARTS = 25
const CALM = 12_000
const SKEWS = [60, -60, 3600, -3600]
const witness = fileURLToPath(new URL('witness.ts', import.meta.url))

/** Why a store cannot be played over here; undefined when it can. */
export function whyNotOver(store: Store): string | undefined {
  return store === 'journal' ? undefined : whyNot(store)
}

/** Plays over one store for some milliseconds. `random` gives numbers in [0, 1). */
export async function playOver(store: Store, ms: number, random: () => number): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), 'aftertask-chaos-'))
  const file = join(folder, 'journal.sqlite')
  const server = store === 'journal' ? undefined : await storeServer(store)
  await server?.start()
  if (store === 'postgres') server?.ask('create role app login', 'grant create on database postgres to app')
  const scene = new Scene(folder, file, server, random)
  try {
    await scene.play(ms)
    const url = server?.url ?? file
    const lease = String(scene.lease)
    const verdict = await verdictOf([scene.trail, scene.deeds, url, lease, String(STOP)])
    return { store, verdict, lines: read<Line>(scene.trail), deeds: read<Deed>(scene.deeds) }
  } finally {
    await Promise.all(scene.members.map((member) => member.kill()))
    await server?.dispose()
    if (process.env['CHAOS_KEEP'] === undefined) rmSync(folder, { recursive: true })
    else console.log(`kept: ${folder}`)
  }
}

class Scene {
  readonly trail: string
  readonly deeds: string
  readonly lease: number
  /** Those that live, by slot. */
  readonly members: Member[] = []
  readonly #random: () => number
  readonly #server: StoreServer | undefined
  readonly #file: string
  #born = 0
  #longStills = 0
  /** Pending while nobody may be started. */
  #barred: Promise<void> = Promise.resolve()
  #isOver = false

  constructor(folder: string, file: string, server: StoreServer | undefined, random: () => number) {
    this.trail = join(folder, 'trail')
    this.deeds = join(folder, 'deeds')
    this.#file = file
    this.#server = server
    this.#random = random
    this.lease = server === undefined ? SILENCE : LEASE
  }

  async play(ms: number): Promise<void> {
    const until = now() + ms
    await Promise.all(SLOTS.map((slot) => this.#start(slot)))
    const over = wait(ms).then(() => {
      this.#isOver = true
    })
    const restartsAt = now() + ms * (0.2 + 0.5 * this.#random())
    await Promise.all([
      ...SLOTS.slice(0, 2).map((half) => this.#harmProcesses([half, half + 2], until)),
      this.#harmStore(until, restartsAt),
      over,
    ])
    await this.#calm()
  }

  /** One process after the other of these slots. */
  async #harmProcesses(slots: readonly number[], until: number): Promise<void> {
    while (!this.#isOver) {
      await wait(this.#some(3000))
      const slot = this.#of(slots)
      const dice = this.#random()
      const member = this.members[slot] as Member
      if (dice < 0.35) {
        await member.kill()
        await this.#startLater(slot)
      } else if (dice < 0.7) {
        await member.stop()
        await this.#startLater(slot)
      } else if (dice < 0.95) await member.still(wait(LEASE + 500 + this.#some(3000)))
      // Beyond what any store or journal bears with: once in a while, if there is the time.
      else if (this.#longStills < 3 && until - now() > 60_000) {
        this.#longStills++
        await member.still(wait(32_000))
      }
    }
  }

  async #harmStore(until: number, restartsAt: number): Promise<void> {
    const troubles = this.#troubles()
    let isRestarted = until - now() < 90_000
    while (!this.#isOver) {
      await wait(2000 + this.#some(5000))
      if (!isRestarted && now() > restartsAt) {
        isRestarted = true
        await this.#restartQuickly()
      }
      const { kind, isStartBarred = false, play } = this.#of(troubles)
      const { promise, resolve } = Promise.withResolvers<void>()
      if (isStartBarred) this.#barred = promise
      // Whoever is being started is to have opened its file: it would make one where there is none.
      if (isStartBarred) await Promise.all(this.members.map((member) => this.#isUpOrGone(member)))
      const from = now()
      try {
        await play(500 + this.#some(5000))
      } finally {
        resolve()
      }
      note(this.deeds, { what: 'store', kind, until: now() }, from)
    }
  }

  #troubles(): StoreTrouble[] {
    if (this.#server === undefined) return ofJournal(this.#file)
    return this.#server.url.startsWith('postgres') ? ofPostgres(this.#server) : ofRedis(this.#server)
  }

  /** One process that is told to stop as soon as it works, many times in a row. */
  async #restartQuickly(): Promise<void> {
    const from = now()
    for (let count = 0; count < QUICK_RESTARTS; count++) {
      const quick = this.#member('new', false)
      await Promise.race([this.#isUpOrGone(quick), wait(3000)])
      await wait(this.#some(300))
      await quick.stop()
    }
    note(this.deeds, { what: 'quick restarts', until: now() }, from)
  }

  async #isUpOrGone(member: Member): Promise<void> {
    const { name } = member.part
    const isUp = ({ what, by }: Line): boolean => what === 'ready' && by === name
    while (!(member.isGone || read<Line>(this.trail).some(isUp))) await wait(200)
  }

  async #startLater(slot: number): Promise<void> {
    await wait(this.#some(1500))
    await this.#start(slot)
  }

  async #start(slot: number): Promise<void> {
    await this.#barred
    this.members[slot] = this.#member(
      this.#random() < 0.5 ? 'new' : 'old',
      this.#server !== undefined && wrongClocks.areThere,
    )
  }

  #member(deploy: 'old' | 'new', maySkew: boolean): Member {
    const name = `p${++this.#born}`
    const store = this.#server?.url.replace('postgres@', 'app@') ?? this.#file
    const skew = maySkew && this.#random() < 0.4 ? wrongClock(this.#of(SKEWS)) : {}
    const part = { name, trail: this.trail, store, lease: LEASE, stop: STOP, deploy, adds: !this.#isOver }
    return new Member(part, skew, this.deeds)
  }

  /** Nobody adds any more, one process at least has every task, and what is there comes to its end. */
  async #calm(): Promise<void> {
    const [first] = this.members
    if (first?.part.deploy === 'old') {
      await first.stop()
      this.members[0] = this.#member('new', false)
    }
    for (const member of this.members) {
      // One that is not there yet knows of no such signal.
      await Promise.race([this.#isUpOrGone(member), wait(30_000)])
      member.enough()
    }
    note(this.deeds, { what: 'calm' })
    const from = now()
    const most = CALM + 60_000 + this.lease * 3
    while (now() - from < most && (now() - from < CALM || this.#open() > 0)) await wait(500)
    await Promise.all(this.members.splice(0).map((member) => member.stop()))
  }

  #open(): number {
    const open = new Set<string>()
    const lines = read<Line>(this.trail)
    for (const { what, mark = '' } of lines) if (what === 'stored') open.add(mark)
    for (const { what, mark = '' } of lines) if (what === 'end' || what === 'cancelling') open.delete(mark)
    return open.size
  }

  #some(most: number): number {
    return Math.floor(this.#random() * most)
  }

  #of<T>(all: readonly T[]): T {
    return all[this.#some(all.length)] as T
  }
}

async function verdictOf(args: readonly string[]): Promise<Verdict> {
  const child = spawn(process.execPath, [witness, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  for await (const chunk of child.stdout.setEncoding('utf8')) text += chunk
  return JSON.parse(text) as Verdict
}
