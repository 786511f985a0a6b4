/** FastAPI on uvicorn, and what its BackgroundTasks cost its requests: the model of aftertask, where Python is at hand. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freePort } from '../test/kit/free-port.ts'
import { type Findings, figure } from './kit/findings.ts'
import { LoadMaker } from './kit/load.ts'
import { type Contestant, inPairs, type Pair } from './kit/pairs.ts'
import { spread } from './kit/statistics.ts'

// Debian's own Python: the packages belong to it.
const PYTHON = ['/usr/bin/python3', 'python3']

/** Measures the row, or says why it is skipped. */
export default async function fastapi(): Promise<Findings> {
  const python = PYTHON.find(
    (program) => spawnSync(program, ['-c', 'import fastapi, uvicorn'], { stdio: 'ignore' }).status === 0,
  )
  if (python === undefined) {
    const notes = ['Skipped: python3-fastapi and python3-uvicorn are not installed.']
    return { figures: [], charts: [], notes }
  }
  const port = await freePort()
  const child = await serve(python, port)
  try {
    return await measure(port)
  } finally {
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  }
}

async function measure(port: number): Promise<Findings> {
  await using load = new LoadMaker()
  const threads = availableParallelism()
  const ask = (path: string): Promise<Response> => fetch(`http://127.0.0.1:${port}${path}`)
  const hello: Contestant = { name: 'hello', port }
  const noop: Contestant = { name: 'no-op', port, path: '/noop' }
  const beside: Contestant = {
    name: 'beside',
    port,
    async prepare() {
      for (let job = 0; job < threads; job++) await (await ask('/burn?milliseconds=400')).text()
    },
    async drained() {
      while ((await (await ask('/pending')).text()) !== '0') await pause(10)
    },
  }
  const kept = (pairs: readonly Pair[]): ReturnType<typeof spread> =>
    spread(pairs.map(({ base, other }) => other.perSecond / base.perSecond))
  const p99 = (pairs: readonly Pair[]): ReturnType<typeof spread> =>
    spread(pairs.map(({ base, other }) => other.p99 / base.p99))
  const withNoop = await inPairs(load, hello, noop, { pairs: 12 })
  const withBurn = await inPairs(load, hello, beside, { pairs: 8 })
  return {
    figures: [
      figure('an empty background task', 'requests kept', 'x', kept(withNoop)),
      figure('beside CPU-heavy background tasks', 'requests kept', 'x', kept(withBurn)),
      figure('an empty background task', 'p99', 'x', p99(withNoop)),
      figure('beside CPU-heavy background tasks', 'p99', 'x', p99(withBurn)),
      figure('hello', 'rate', 'requests/s', spread(withNoop.map(({ base }) => base.perSecond))),
    ],
    charts: [{ what: 'requests kept', label: 'requests kept, of FastAPI’s own hello' }],
    notes: [
      `One uvicorn process. CPU-heavy: ${threads} tasks of 400 ms of CPU each, begun right before the slice.`,
    ],
  }
}

async function serve(python: string, port: number): Promise<ChildProcess> {
  const settings = [
    '--port',
    String(port),
    '--no-access-log',
    '--log-level',
    'warning',
    '--timeout-keep-alive',
    '60',
  ]
  const child = spawn(python, ['-m', 'uvicorn', 'fastapi_app:app', ...settings], {
    cwd: fileURLToPath(new URL('.', import.meta.url)),
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1' },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  for (let tries = 0; tries < 200; tries++) {
    const isUp = await fetch(`http://127.0.0.1:${port}/`).then(
      () => true,
      () => false,
    )
    if (isUp) return child
    await pause(50)
  }
  child.kill('SIGKILL')
  throw new Error('uvicorn does not answer.')
}
