/** One of the processes, as the director has it: started, told to stop, killed, made to stand still. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Part } from './program.ts'
import { note, now } from './trail.ts'

const program = fileURLToPath(new URL('program.ts', import.meta.url))
/** A process that is told to stop and stays for so long is killed, and the witness hears of it. */
const OVERDUE = 20_000

/** A process that lives, or has lived. */
export class Member {
  readonly part: Part
  readonly #child: ChildProcess
  readonly #deeds: string
  readonly #gone: Promise<void>
  isGone = false

  /** `deeds`: the file where the director notes what it does. */
  constructor(part: Part, env: Readonly<Record<string, string>>, deeds: string) {
    this.part = part
    this.#deeds = deeds
    this.#child = spawn(process.execPath, [program, JSON.stringify(part)], {
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, ...env, CHAOS_TRAIL: part.trail, CHAOS_NAME: part.name },
    })
    const { FAKETIME = 'right' } = env
    this.#note('born', { kind: `${part.deploy}, clock ${FAKETIME}` })
    this.#gone = once(this.#child, 'exit').then(([code, signal]) => {
      this.isGone = true
      this.#note('gone', { code: String(code ?? signal) })
    })
  }

  /** Tells it to stop, and resolves once it is gone. */
  async stop(): Promise<void> {
    this.#note('told to stop')
    this.#child.kill('SIGTERM')
    const overdue = setTimeout(() => {
      this.#note('overdue')
      this.#child.kill('SIGKILL')
    }, OVERDUE)
    await this.#gone
    clearTimeout(overdue)
  }

  async kill(): Promise<void> {
    this.#note('killed')
    this.#child.kill('SIGKILL')
    await this.#gone
  }

  /** Lets it stand still for as long as something else takes. */
  async still(meanwhile: Promise<void>): Promise<void> {
    const from = now()
    this.#child.kill('SIGSTOP')
    await meanwhile
    this.#child.kill('SIGCONT')
    note(this.#deeds, { what: 'still', by: this.part.name, until: now() }, from)
  }

  /** Tells it to add no more. */
  enough(): void {
    if (!this.isGone) this.#child.kill('SIGUSR2')
  }

  #note(what: string, more: object = {}): void {
    note(this.#deeds, { what, by: this.part.name, ...more })
  }
}
