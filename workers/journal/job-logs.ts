/** What jobs have said, in the file: a row for what came together, and of each job the last rows. */
import type { Statements } from './statements.ts'
import type { Transaction } from './transaction.ts'

/** Lines that came together, and how much of the job's lines is to be kept. */
export type Said = readonly [
  lines: number,
  bytes: number,
  dropped: number,
  text: string,
  mostLines: number,
  mostBytes: number,
]

/** Writes lines, and lets the oldest go. */
export class JobLogs {
  readonly #sql: Statements
  readonly #transaction: Transaction

  constructor(sql: Statements, transaction: Transaction) {
    this.#sql = sql
    this.#transaction = transaction
  }

  add(n: number, [lines, bytes, dropped, text, mostLines, mostBytes]: Said): void {
    // Said again, since the thread that wrote it has died.
    if (this.#transaction.isRepeated && this.#sql.lastLog.get(n)?.[0] === text) return
    this.#sql.log.run(n, lines, bytes, dropped, text)
    this.#trim(n, mostLines, mostBytes)
  }

  /** A row goes once the newer ones have all that is kept. The oldest that stays tells how many lines came before it. */
  #trim(n: number, mostLines: number, mostBytes: number): void {
    const rows = this.#sql.logSizes.all(n) as readonly (readonly [number, number, number, number])[]
    let [lines, bytes] = [0, 0]
    const first = rows.findIndex(([, more, moreBytes]) => {
      lines += more
      bytes += moreBytes
      return lines >= mostLines || bytes >= mostBytes
    })
    const stays = rows[first === -1 ? rows.length - 1 : first]
    if (stays === undefined) return
    const [number, , , before] = stays
    const older = rows.filter(([other]) => other < number)
    const dropped = older.reduce((sum, [, more, , missing]) => sum + more + missing, before)
    if (older.length === 0) return
    this.#sql.dropLogs.run(n, number)
    this.#sql.setDropped.run(dropped, n, number)
  }
}
