/** Who is taken for dead: a process is judged by its pid only where that pid means something. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { uptime } from 'node:os'
import { describe, expect, onTestFinished, test } from 'vitest'
import { isAlive, isThisProcess, ownPresence } from '../../../workers/journal/place.ts'
import { journalFile } from './journal.fixture.ts'

const now = Date.now()
const own = ownPresence(now)
const SILENT = now - 31_000
const isLinux = process.platform === 'linux'

// Each in a namespace of pids of its own, where it is process 1, and all with one host name.
const CONTAINER = ['--user', '--map-root-user', '--pid', '--fork', '--kill-child', '--mount-proc']
const hasContainers = isLinux && spawnSync('unshare', [...CONTAINER, 'true']).status === 0

describe('a process', () => {
  test('that asks finds itself, and nobody else', () => {
    expect(isAlive(own, now)).toBe(true)
    expect(isThisProcess(own)).toBe(true)
    expect(isThisProcess({ ...own, pid: process.ppid })).toBe(false)
    expect(isThisProcess({ ...own, space: 'pid:[1]' })).toBe(false)
  })

  test('whose pid is gone is dead, however lately it was heard of', () => {
    const { pid } = spawnSync(process.execPath, ['--version'])
    expect(isAlive({ ...own, pid }, now)).toBe(false)
  })

  test.runIf(isLinux)('whose pid another has by now is dead', () => {
    expect(isAlive({ ...own, started: '1' }, now)).toBe(false)
  })

  test('of the same machine is judged by its pid, however long it was silent', () => {
    expect(isAlive({ ...own, seen: SILENT }, now)).toBe(true)
  })

  test.runIf(isLinux)('of the same machine under another host name is judged by its pid', () => {
    expect(isAlive({ ...own, host: 'renamed', started: '1' }, now)).toBe(false)
  })

  test.each(['pid:[1]', ''])('of another namespace of pids, "%s", is judged by its silence', (space) => {
    const other = { ...own, pid: 1, started: '1', space }
    expect(isAlive(other, now)).toBe(true)
    expect(isAlive({ ...other, seen: SILENT }, now)).toBe(false)
  })

  test('of another machine is judged by its silence', () => {
    const other = { ...own, host: 'elsewhere', boot: 'another', started: '1' }
    expect(isAlive(other, now)).toBe(true)
    expect(isAlive({ ...other, seen: SILENT }, now)).toBe(false)
  })

  test('of an earlier boot of the machine is dead at once, and one of another kernel is not', () => {
    const other = { ...own, boot: 'another' }
    expect(isAlive({ ...other, seen: now - uptime() * 1000 - 1000 }, now)).toBe(false)
    expect(isAlive(other, now)).toBe(true)
    expect(isAlive({ ...other, seen: SILENT }, now)).toBe(false)
  })
})

describe.runIf(hasContainers)('two containers with one host name, each of them process 1,', () => {
  test('leave each other the jobs that they run', async () => {
    const file = journalFile()
    const starts = `${file}.starts`
    writeFileSync(starts, '')
    const first = container(file, starts, 'runs')
    await until(() => readFileSync(starts, 'utf8') !== '')
    const second = container(file, starts, 'looks on')
    const [ended] = await once(second, 'exit')
    first.kill('SIGKILL')
    await once(first, 'exit')
    expect(ended).toBe(0)
    expect(readFileSync(starts, 'utf8')).toBe('start\n')
  })
})

function container(file: string, starts: string, role: string): ReturnType<typeof spawn> {
  const program = new URL('./container.fixture.ts', import.meta.url).pathname
  const args = [...CONTAINER, process.execPath, program, file, starts, role]
  const child = spawn('unshare', args, { stdio: ['ignore', 'ignore', 'inherit'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  return child
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise(setImmediate)
}
