/** The commands that ask, as real processes: over a running server with the memory broker, and over the journal of a killed one. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { aftertask, inTerminal, type Terminal } from '../kit/terminal.ts'

const ESC = String.fromCharCode(27)
const fixture = fileURLToPath(new URL('./fixture/server.ts', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'at-cli-'))
const socket = join(folder, 'c')
const journal = join(folder, 'jobs.db')
const children: ChildProcess[] = []

async function startServer(...args: string[]): Promise<ChildProcess> {
  const child = spawn(process.execPath, [fixture, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  children.push(child)
  const [first] = (await Promise.race([once(child.stdout, 'data'), once(child, 'exit')])) as [unknown]
  expect(String(first)).toBe('ready\n')
  return child
}

beforeAll(async () => {
  const gate = join(folder, 'never')
  const journaled = startServer(join(folder, 'k'), gate, journal).then(async (child) => {
    child.kill('SIGKILL')
    await once(child, 'exit')
  })
  await Promise.all([startServer(socket, gate), journaled])
})
afterAll(async () => {
  const running = children.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null)
  for (const child of running) child.kill('SIGKILL')
  await Promise.all(running.map((child) => once(child, 'exit')))
  rmSync(folder, { recursive: true })
})

function terminal(...args: string[]): Terminal {
  const made = inTerminal(...args)
  onTestFinished(() => void made.child.kill('SIGKILL'))
  return made
}

/** What is left of an output when what this command may send to a terminal is taken away. */
function strays(output: string): string[] {
  const own = new RegExp(`${ESC}\\[(?:\\d+(?:;\\d+)*m|[HJK]|\\?(?:25|1049|2026)[hl])|\\r?\\n`, 'g')
  return output.replace(own, '').match(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\ufffd]/gu) ?? []
}

const views = [['jobs', '--json'], ['schedules'], ['top'], ['failures']]
const ways = [
  [
    'a running server',
    ['--control', socket],
    [...views, ['export', '--format', 'csv'], ['check', '--max-dead', '1']],
  ],
  ['the journal of a killed one', ['--journal', journal], views],
] as const

describe.each(ways)('over %s', (what, where, asked) => {
  test('every view has what jobs say, and nothing that steers a terminal', async () => {
    const all = await Promise.all(asked.map((words) => aftertask(...words, ...where)))
    const codes = all.map(({ code, error }, index) => [asked[index], code, error])
    expect(codes).toEqual(asked.map((words) => [words, words[0] === 'check' ? 1 : 0, '']))
    for (const [index, { out }] of all.entries())
      expect([asked[index], strays(out)]).toEqual([asked[index], []])
    for (const { out } of all.slice(0, 5)) expect(out).toContain('owned')
    const lines = (all[0]?.out ?? '').trim().split('\n')
    const listed = lines.map((line) => JSON.parse(line) as Record<string, unknown>)
    // What ran when its process was killed waits for the next one.
    const last = what === 'a running server' ? 'running' : expect.stringMatching(/running|available/)
    expect(listed.map(({ state }) => state)).toEqual([last, 'scheduled', 'dead', 'dead'])
    const shown = await aftertask('job', String(listed.at(-1)?.['id']), ...where)
    for (const part of ['failed', 'said']) expect(shown.out).toContain(part)
    expect(strays(shown.out)).toEqual([])
  })

  test('top shows one screen until q is pressed, and gives the terminal back', async () => {
    const top = terminal('top', ...where)
    await top.shows('dead')
    await top.shows('owned')
    top.press('q')
    expect(await top.gone).toBe(0)
    expect(top.output().startsWith(`${ESC}[?1049h${ESC}[?25l`)).toBe(true)
    expect(top.output().endsWith(`${ESC}[?25h${ESC}[?1049l`)).toBe(true)
    expect(strays(top.output())).toEqual([])
  })

  test('a bulk action says first how many it would be, and tail tells what it does', async () => {
    const query = ['--where', 'state:dead task:host* older:0s', ...where]
    const tail = terminal('tail', '--task', 'hostile', ...where)
    await tail.shows(what === 'a running server' ? 'following' : 'scheduled')
    const dry = terminal('revive', '--dry-run', ...query)
    await dry.shows('2 fit. Without --dry-run they are revived.')
    expect(await dry.gone).toBe(0)
    const real = terminal('revive', ...query)
    await real.shows('2 of 2 revived.')
    expect(await real.gone).toBe(0)
    // A running server tries them again, in vain; a journal waits for a process that does.
    const next = what === 'a running server' ? 'dead' : 'available'
    await tail.shows(next)
    await tail.shows(next)
    tail.press('\u0003')
    expect(await tail.gone).toBe(0)
    for (const { output } of [tail, dry, real]) expect(strays(output())).toEqual([])
  })
})

test('a command that finds nobody to ask ends with 3, and one that makes no sense with 2', async () => {
  const gone = await aftertask('jobs', '--control', join(folder, 'k'))
  expect([gone.code, gone.error]).toEqual([3, expect.stringContaining('Nobody answers')])
  const odd = await aftertask('jobs', '--where', 'colour:red', '--control', socket)
  expect([odd.code, odd.error]).toEqual([2, expect.stringContaining('there is no field "colour"')])
})
