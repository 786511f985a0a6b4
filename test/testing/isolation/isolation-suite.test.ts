import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createRuntime, defineTask } from 'aftertask'
import { createTestRuntime, type IsolationFinding, isolationSuite } from 'aftertask/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'

const module = new URL('./misdeeds.ts', import.meta.url)
const task = (
  name: string,
  { export: handler = name, ...more }: { export?: string; [option: string]: unknown } = {},
) => defineTask({ name, payload: z.any(), killGrace: 30, ...more, handler: { module, export: handler } })

/** What each of them does, as it is to be found. */
const misdeeds: readonly (readonly [string, string, RegExp])[] = [
  ['global', 'global', /^globalThis\.lastPayload was added$/],
  ['prototype', 'global', /^Array\.prototype\.last was added$/],
  ['nodeModule', 'global', /^node:fs\.existsSync was replaced$/],
  ['environment', 'environment', /^process\.env\.TZ was (?:added|changed)$/],
  ['listener', 'listener', /^each run leaves a listener for "warning" of process$/],
  ['timer', 'timer', /^each run leaves a timer, from .*misdeeds\.ts:\d+$/],
  ['server', 'open', /^each run leaves a TCPSERVERWRAP open/],
  ['descriptor', 'open', /^each run leaves a file open$/],
  ['memory', 'memory', /^each run keeps \d+ KB that is never let go$/],
  ['deaf', 'cancel', /^it was still running 30 ms after its signal had aborted, on a cancel$/],
  ['deaf', 'timeout', /^it was still running 30 ms after its signal had aborted, on its timeout$/],
  ['endless', 'endless', /^it had not ended after 100 ms$/],
  ['exit', 'exit', /exited with code 3/],
  ['rejecting', 'escape', /nobody awaits this/],
  ['throwingOnAbort', 'escape', /^an error escaped it once its signal had aborted, on a cancel$/],
  ['exitingOnAbort', 'exit', /^it ended its thread once its signal had aborted, on a cancel$/],
  ['result', 'result', /the result is a function/],
  ['unsendable', 'payload', /payload is a function/],
  ['failing', 'failed', /^it always fails$/],
  ['counting', 'twice', /^its result is another when it runs again: 1, then 2$/],
  ['failingAgain', 'twice', /^it fails when it runs again: there is one already$/],
  ['writing', 'twice', /its effects differ$/],
]
const patient = ['throwingOnAbort', 'exitingOnAbort']
const own = ['unsendable', 'endless', ...patient]
const names = [...new Set(misdeeds.map(([name]) => name))].filter((name) => !own.includes(name))
const runtime = createRuntime({
  tasks: [
    ...names.map((name) => task(name)),
    // Long, so that they have it also on a busy machine.
    ...['honest', 'parent', ...patient].map((name) => task(name, { killGrace: 60_000 })),
    task('endless', { timeout: 100 }),
    task('strict', { payload: z.object({ to: z.string() }), export: 'parent' }),
    task('unsendable', { payload: z.any().transform(() => () => 1), export: 'parent' }),
    task('missing'),
  ],
  log: false,
})
const file = join(tmpdir(), `aftertask-isolation-${process.pid}`)
const counter = (name: string): string => `${file}-${name}`
const lasting = ['memory', 'descriptor']
const counting = ['deaf', ...patient]
const payloads = {
  writing: { file },
  ...Object.fromEntries(counting.map((name) => [name, { counter: counter(name) }])),
  honest: { to: 'Ada' },
}
let findings: readonly IsolationFinding[]

beforeAll(async () => {
  writeFileSync(file, '')
  const effects = { writing: () => readFileSync(file, 'utf8').length }
  const common = { payloads, effects, patience: 60_000, throws: false }
  const short = [...names.filter((name) => !lasting.includes(name)), ...own]
  const both = await Promise.all([
    isolationSuite(runtime, { ...common, only: short, runs: 2 }),
    isolationSuite(runtime, { ...common, only: lasting, runs: 60 }),
  ])
  findings = both.flatMap((report) => report.findings)
})
afterAll(async () => {
  rmSync(file)
  for (const name of counting) rmSync(counter(name))
  await runtime.stop()
})

describe('the isolation suite', () => {
  test.each(misdeeds)('finds what the handler %j does (%s)', (name, kind, message) => {
    const found = findings.filter((finding) => finding.task === name && finding.kind === kind)
    expect(found.map((finding) => finding.message)).toEqual([expect.stringMatching(message)])
  })

  test('finds nothing else', () => {
    const known = misdeeds.map(([name, kind]) => `${name} ${kind}`)
    // What fails when it runs again has failed.
    const others = findings.filter(({ task: name, kind }) => !known.includes(`${name} ${kind}`))
    expect(others.filter(({ task: name }) => name !== 'failingAgain')).toEqual([])
  })

  test('passes handlers that clean up, and does not run the jobs that they add', async () => {
    const report = await isolationSuite(runtime, { payloads, only: ['honest', 'parent'], runs: 60 })
    expect(report.findings).toEqual([])
    expect(String(report)).toMatch(
      /^0 of 2 handlers did .*\n✓ honest: nothing in \d+ runs\n✓ parent: nothing/,
    )
  })

  test('rejects with a report that names the handler, what it did, and what to do about it', async () => {
    const suite = isolationSuite(runtime, { only: ['global', 'strict', 'missing'], runs: 1 })
    const { message } = await suite.then(
      () => new Error('it found nothing'),
      (error: Error) => error,
    )
    expect(message).toContain('2 of 3 handlers did what a handler should not, 1 not tried.')
    expect(message).toMatch(/✗ global\n {4}global: globalThis\.lastPayload was added\n {6}Keep what belongs/)
    expect(message).toContain(
      "? strict: there is no payload to try it with. Give one: { payloads: { 'strict': … } }",
    )
    expect(message).toMatch(/✗ missing\n {4}failed: .*the export "missing"/)
  })

  test('lets a handler do what it is allowed', async () => {
    const report = await isolationSuite(runtime, {
      only: ['global'],
      except: { global: ['global'] },
      runs: 1,
    })
    expect(report.isClean).toBe(true)
  })

  test('takes the tasks of a test runtime, whose own mode does not matter', async () => {
    await using inline = createTestRuntime({ tasks: [task('listener')] })
    const report = await isolationSuite(inline, { runs: 1, throws: false })
    expect(report.findings.map(({ kind }) => kind)).toEqual(['listener'])
  })

  test.each([
    [undefined, {}, 'runtime'],
    [runtime, null, 'options'],
    [runtime, { colour: 'red' }, 'colour'],
    [runtime, { payloads: { nobody: 1 } }, 'payloads'],
    [runtime, { only: ['nobody'] }, 'only'],
    [runtime, { runs: 0 }, 'runs'],
    [runtime, { throws: 'no' }, 'throws'],
    [runtime, { effects: { writing: 5 } }, 'effects'],
    [runtime, { except: { writing: ['no'] } }, 'except'],
  ])('refuses %o, %j', async (given, options, path) => {
    await expect(isolationSuite(given as typeof runtime, options as never)).rejects.toMatchObject({
      code: 'ERR_OPTIONS_INVALID',
      path: expect.stringContaining(path),
    })
  })
})
