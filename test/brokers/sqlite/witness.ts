/** The judge of a killed process: what it was promised, against what ran. It reads nothing of the journal. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const PROGRAM = fileURLToPath(new URL('./crash.fixture.ts', import.meta.url))

/** What the judge finds. */
export interface Verdict {
  readonly acked: number
  readonly ran: number
  /** Acknowledged jobs that never ran to their end. */
  readonly lost: readonly string[]
  /** Jobs that ran again although their end had been told. */
  readonly again: readonly string[]
  /** Jobs that ran more than once: each was under way, or its end not yet written, at a kill. */
  readonly repeated: number
  readonly dead: readonly string[]
}

/** A journal, a witness, and processes that are killed over them. */
export class KilledProcesses {
  readonly folder = mkdtempSync(join(tmpdir(), 'aftertask-crash-'))
  readonly file = join(this.folder, 'journal.sqlite')
  readonly witness = join(this.folder, 'witness.txt')

  /** Runs a process under load, and kills it some milliseconds after its first acknowledgement. */
  async kill(round: number, milliseconds: number): Promise<void> {
    const child = this.#start('load', round)
    const before = this.#lines().length
    while (child.exitCode === null && this.#lines().length <= before) await wait(5)
    await wait(milliseconds)
    child.kill('SIGKILL')
    await exited(child)
  }

  /** Runs a process under load that ends itself at a named point, the `after`-th time it comes there. */
  async failAt(round: number, point: string, after: number): Promise<void> {
    await exited(this.#start('load', round, point, after))
  }

  /** Lets a process finish all that is left; resolves to its exit code. */
  async drain(): Promise<number | null> {
    const child = this.#start('drain', 0)
    await exited(child)
    return child.exitCode
  }

  judge(): Verdict {
    const acked = new Set<string>()
    const done = new Set<string>()
    const told = new Set<string>()
    const runs = new Map<string, number>()
    const again: string[] = []
    const dead: string[] = []
    const numbers = new Map<string, string>()
    for (const [what, n = '', id = ''] of this.#lines().map((line) => line.split(' '))) {
      if (what === 'acked') {
        acked.add(n)
        numbers.set(id, n)
      } else if (what === 'done') done.add(n)
      else if (what === 'told') told.add(n)
      else if (what === 'dead') dead.push(numbers.get(n) ?? n)
      else if (what === 'run') {
        if (told.has(n)) again.push(n)
        runs.set(n, (runs.get(n) ?? 0) + 1)
      }
    }
    const lost = [...acked].filter((n) => !(done.has(n) || dead.includes(n)))
    const repeated = [...runs.values()].filter((count) => count > 1).length
    return { acked: acked.size, ran: done.size, lost, again, repeated, dead }
  }

  end(): void {
    rmSync(this.folder, { recursive: true, force: true })
  }

  // A line that the kill cut in half says nothing.
  #lines(): string[] {
    return existsSync(this.witness) ? readFileSync(this.witness, 'utf8').split('\n').slice(0, -1) : []
  }

  #start(mode: 'load' | 'drain', round: number, point = '', after = 0): ChildProcess {
    const args = [PROGRAM, mode, this.file, this.witness, String(round), point, String(after)]
    return spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'] })
  }
}

async function exited(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
}

function wait(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds)
  })
}
