/** `aftertask/prometheus`, read by Prometheus itself where it is installed. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { fileURLToPath } from 'node:url'
import { Registry } from 'prom-client'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { AnyRuntime } from '../../src/engine/runtime.ts'
import { collectInto, metrics, scrape } from '../../src/telemetry/prometheus.ts'
import { read } from '../house/tree.ts'
import { freePort } from '../kit/free-port.ts'
import { get, listen } from '../kit/serve.ts'
import { tempFolder } from '../kit/temp-folder.ts'
import { isoTask, startThreads } from '../kit/threads.ts'

const OPEN = 'application/openmetrics-text'
const folder = tempFolder('prometheus')

/** A runtime with one job of each end that a scrape shows, and a schedule. */
async function busyRuntime(): Promise<AnyRuntime> {
  const task = isoTask('crash', 'crashThenFail')
  const runtime = startThreads([task]) as unknown as AnyRuntime
  runtime.schedule('nightly', task.name, null, { cron: '0 3 * * *' })
  await runtime.enqueue(task.name, { crashes: 0, succeed: true }).settled
  await runtime.enqueue(task.name, { crashes: 0 }).settled
  return runtime
}

/** The samples of a text by their name and labels. */
function samplesIn(text: string): Map<string, number> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
  )
}

describe('a scrape', () => {
  test('shows the numbers of the runtime, with failures that have not happened at 0', async () => {
    const { contentType, text } = await scrape(await busyRuntime())
    expect(contentType).toContain('version=0.0.4')
    const samples = samplesIn(text)
    const task = 'task="crash.crashThenFail"'
    expect(samples.get(`aftertask_jobs_ended_total{${task},state="completed"}`)).toBe(1)
    expect(samples.get(`aftertask_jobs_ended_total{${task},state="lost"}`)).toBe(0)
    expect(samples.get(`aftertask_attempts_total{${task},outcome="failed"}`)).toBe(1)
    expect(samples.get(`aftertask_job_run_seconds_bucket{${task},le="+Inf"}`)).toBe(2)
    expect(samples.get('aftertask_jobs{state="dead"}')).toBe(1)
    expect(samples.get('aftertask_refused_total{code="ERR_QUEUE_FULL"}')).toBe(0)
    expect(samples.get('aftertask_schedule_next_run_timestamp_seconds{schedule="nightly"}')).toBeGreaterThan(
      1e9,
    )
  })

  test('is answered in OpenMetrics for whoever asks for it: families without _total, and an end', async () => {
    const { contentType, text } = await scrape(await busyRuntime(), `${OPEN};version=1.0.0,text/plain;q=0.5`)
    expect(contentType).toContain(OPEN)
    expect(text).toContain('# TYPE aftertask_jobs_ended counter\naftertask_jobs_ended_total{')
    expect(text.endsWith('\n# EOF\n')).toBe(true)
  })

  test('keeps schedules apart, whatever stands in their ids', async () => {
    const runtime = await busyRuntime()
    const ids = ['a"} 1\naftertask_up 1', 'back\\slash', '<b>&']
    for (const id of ids) runtime.schedule(id, 'crash.crashThenFail', null as never, { every: 60_000 })
    const samples = [...samplesIn((await scrape(runtime)).text).keys()]
    const shown = samples.flatMap((key) => /schedule="(.*)"\}$/.exec(key)?.[1] ?? [])
    expect(new Set(shown)).toEqual(new Set(['nightly', 'a\\"} 1\\naftertask_up 1', 'back\\\\slash', '<b>&']))
  })

  test('shows its runtime also while the broker cannot tell its counts', async () => {
    const runtime = await busyRuntime()
    runtime.counts = () => Promise.reject<never>(new Error('away'))
    const { text } = await scrape(runtime)
    expect(text).toContain('aftertask_pending 0')
    expect(text).not.toContain('aftertask_jobs{')
  })

  test.each([
    ['metrics', () => metrics({} as never)],
    ['collectInto', () => collectInto(new Registry(), null as never)],
    ['collectInto', () => collectInto({} as never, {} as never)],
    ['scrape', () => scrape(undefined as never)],
  ])('of what is no runtime is refused by %s with ERR_OPTIONS_INVALID', async (call, make) => {
    const error = await (async () => make())().catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({
      code: 'ERR_OPTIONS_INVALID',
      message: expect.stringContaining(`${call}: `),
    })
  })
})

test('the handler answers GET and HEAD, and 405 to what would change something', async () => {
  const port = await listen(createServer(metrics(await busyRuntime())))
  const answer = await get(port, '/metrics')
  expect([answer.status, answer.headers.get('content-type'), answer.headers.get('cache-control')]).toEqual([
    ...[200, 'text/plain; version=0.0.4; charset=utf-8', 'no-store'],
  ])
  const head = await get(port, '/metrics', { method: 'HEAD' })
  expect([head.status, await head.text()]).toEqual([200, ''])
  const post = await get(port, '/metrics', { method: 'POST' })
  expect([post.status, post.headers.get('allow')]).toEqual([405, 'GET, HEAD'])
})

test('a registry of prom-client shows the same samples as the handler, in both formats', async () => {
  const runtime = await busyRuntime()
  const registry = new Registry()
  collectInto(registry, runtime)
  const shown = samplesIn(await registry.metrics())
  expect(shown).toEqual(samplesIn((await scrape(runtime)).text))
  const open = new Registry()
  open.setContentType(Registry.OPENMETRICS_CONTENT_TYPE as never)
  collectInto(open, runtime)
  expect(samplesIn(await open.metrics())).toEqual(shown)
})

describe.skipIf(process.env['CI'] === undefined && !isThere('promtool'))('Prometheus', () => {
  test('finds nothing wrong with the text', async () => {
    const { text } = await scrape(await busyRuntime())
    expect(execFileSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' })).toBe('')
  })

  test('loads the alert rules', () => {
    const file = fileURLToPath(new URL('../../docs/monitoring/alerts.yml', import.meta.url))
    expect(execFileSync('promtool', ['check', 'rules', file], { encoding: 'utf8' })).toContain(
      '7 rules found',
    )
  })

  test('scrapes a server, and answers every expression of the alerts and of the Grafana dashboard', async () => {
    const port = await listen(createServer(metrics(await busyRuntime())))
    const ask = await startPrometheus(port)
    // It scrapes at a time of its own choosing.
    let found: Awaited<ReturnType<typeof ask>> = []
    while (found.length === 0) found = await ask('aftertask_jobs_ended_total{state="completed"}')
    expect(found[0]?.value[1]).toBe('1')
    for (const expression of expressions()) await ask(expression)
  })
})

test('every metric that the alerts and the Grafana dashboard ask for exists', async () => {
  const runtime = await busyRuntime()
  const shown = samplesIn((await scrape(runtime)).text)
  const names = new Set([...shown.keys()].map((key) => key.replace(/\{.*$/s, '')))
  // Brokers where jobs outlive the process alone have these.
  for (const name of ['aftertask_broker_up', 'aftertask_broker_buffered']) names.add(name)
  const asked = expressions().flatMap((expression) => expression.match(/aftertask_\w+/g) ?? [])
  expect(asked.length).toBeGreaterThan(20)
  expect(asked.filter((name) => !names.has(name))).toEqual([])
})

/** What the alerts and the panels ask, with Grafana's variables filled in. */
function expressions(): string[] {
  const alerts = [...read('docs/monitoring/alerts.yml').matchAll(/^ +expr: (.*)$/gm)].map(
    ([, expression = '']) => expression,
  )
  const board = JSON.parse(read('docs/monitoring/grafana.json')) as {
    panels: { targets: { expr: string }[] }[]
  }
  const panels = board.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr))
  return [...alerts, ...panels].map((expression) =>
    expression.replaceAll('$__rate_interval', '1m').replaceAll(/\$(?:instance|task)/g, '.*'),
  )
}

/** Starts a Prometheus that scrapes a port, and returns a way to ask it. */
async function startPrometheus(
  target: number,
): Promise<(query: string) => Promise<{ value: [number, string] }[]>> {
  const port = await freePort()
  const config = folder.newFile()
  const scrapes = { scrape_interval: '200ms', scrape_timeout: '200ms' }
  const jobs = [{ job_name: 'test', static_configs: [{ targets: [`127.0.0.1:${target}`] }] }]
  // JSON is YAML.
  writeFileSync(config, JSON.stringify({ global: scrapes, scrape_configs: jobs }))
  const flags = {
    'config.file': config,
    'storage.tsdb.path': folder.newFile(),
    'web.listen-address': `127.0.0.1:${port}`,
  }
  const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`)
  const child = spawn('prometheus', args, { stdio: ['ignore', 'ignore', 'pipe'] })
  onTestFinished(async () => {
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  })
  await new Promise<void>((resolve, reject) => {
    let said = ''
    child.stderr.on('data', (chunk: Buffer) => {
      said += String(chunk)
      if (said.includes('Server is ready to receive web requests')) resolve()
    })
    child.once('error', reject)
    child.once('exit', () => reject(new Error(`Prometheus ended before it was ready: ${said}`)))
  })
  return async (query) => {
    const answer = await get(port, `/api/v1/query?${new URLSearchParams({ query })}`)
    const { status, error, data } = (await answer.json()) as {
      status: string
      error?: string
      data: { result: { value: [number, string] }[] }
    }
    expect([query, status, error]).toEqual([query, 'success', undefined])
    return data.result
  }
}

function isThere(program: string): boolean {
  try {
    execFileSync(program, ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
