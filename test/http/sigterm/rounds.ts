/**
 * SIGTERM under load, many times: every accepted job must be accounted for, and the process must be gone by its deadline.
 *
 * npm run sigterm -- --rounds 50
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

/** What one round showed. */
export interface Round {
  readonly accepted: number
  readonly lost: number
  /** Jobs that have no end, or more than one. */
  readonly unaccounted: readonly string[]
  readonly exitCode: number | null
  /** Milliseconds from the signal to the exit. */
  readonly took: number
}

/** The time that the server has after the signal. */
export const TIMEOUT = 1500
const CONNECTIONS = 16

/** Starts a server, loads it, sends the signal after `signalAfter` answers, and reads the witness. */
export async function playRound(signalAfter: number): Promise<Round> {
  const folder = mkdtempSync(join(tmpdir(), 'aftertask-sigterm-'))
  const witness = join(folder, 'witness.log')
  const child = fork(new URL('./server.ts', import.meta.url), [witness, String(TIMEOUT)], {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  })
  try {
    const exit = once(child, 'exit') as Promise<[number | null]>
    const [port] = (await once(child, 'message')) as [number]
    await load(port, signalAfter)
    const begun = performance.now()
    child.kill('SIGTERM')
    const [exitCode] = await exit
    return { ...audit(readFileSync(witness, 'utf8')), exitCode, took: performance.now() - begun }
  } finally {
    child.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Clients that ask again and again until the server is gone. Resolves after so many answers. */
function load(port: number, answers: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  let left = answers
  const answered = (): void => {
    left--
    if (left === 0) resolve()
  }
  for (let index = 0; index < CONNECTIONS; index++) ask(port, answered)
  return promise
}

function ask(port: number, answered: () => void): void {
  const socket = connect(port, '127.0.0.1')
  const again = (): void => void socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  socket.on('connect', again)
  socket.on('error', () => {})
  socket.on('data', () => {
    answered()
    again()
  })
}

function audit(lines: string): Pick<Round, 'accepted' | 'lost' | 'unaccounted'> {
  const ends = new Map<string, string[]>()
  for (const line of lines.split('\n').filter(Boolean)) {
    const [what = '', id = ''] = line.split(' ')
    if (what === 'accepted') ends.set(id, [])
    else ends.set(id, [...(ends.get(id) ?? ['not accepted']), what])
  }
  const unaccounted = [...ends]
    .filter(([, how]) => how.length !== 1)
    .map(([id, how]) => `${id}: ${how.join(', ') || 'no end'}`)
  const lost = [...ends.values()].filter((how) => how.includes('lost')).length
  return { accepted: ends.size, lost, unaccounted }
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { rounds: { type: 'string', default: '50' } } })
  let accepted = 0
  let lost = 0
  let slowest = 0
  const faults: string[] = []
  for (let round = 1; round <= Number(values.rounds); round++) {
    const result = await playRound(50 + Math.floor(Math.random() * 400))
    accepted += result.accepted
    lost += result.lost
    slowest = Math.max(slowest, result.took)
    for (const fault of result.unaccounted) faults.push(`round ${round}: ${fault}`)
    if (result.exitCode !== (result.lost > 0 ? 1 : 0))
      faults.push(`round ${round}: exit code ${result.exitCode} with ${result.lost} lost`)
    if (result.took > TIMEOUT + 1000) faults.push(`round ${round}: took ${Math.round(result.took)} ms`)
  }
  console.log(
    `${values.rounds} rounds, ${accepted} jobs accepted, ${lost} reported as lost, slowest exit ${Math.round(slowest)} ms after the signal (timeout ${TIMEOUT} ms)`,
  )
  for (const fault of faults) console.log(fault)
  console.log(faults.length === 0 ? 'Every accepted job is accounted for.' : `${faults.length} faults`)
  process.exitCode = faults.length === 0 ? 0 : 1
}
