/**
 * The soak: minutes of mixed load on a real server, with crashes, timeouts, cancels and clients that leave. At the end
 * every accepted job must be accounted for, and memory, handles and threads must be as flat as they were early on.
 *
 * npm run soak -- --minutes 10
 */
import { fork } from 'node:child_process'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { parseArgs } from 'node:util'
import { createRuntime } from 'aftertask'
import { afterResponse } from 'aftertask/http'
import { drawLines } from './soak/chart.ts'
import { Ledger } from './soak/ledger.ts'
import * as tasks from './soak/tasks.ts'

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '10' } } })
const minutes = Number(values.minutes)
if (!(minutes > 0)) throw new RangeError(`--minutes is ${values.minutes}; give a number above 0, such as 10.`)

const runtime = createRuntime({
  tasks,
  pool: { threads: 2 },
  pools: {
    io: { threads: 1, concurrency: 32 },
    rough: { threads: 1, resourceLimits: { maxOldGenerationSizeMb: 64 }, recycle: { jobs: 200 } },
  },
  killGrace: 50,
  log: false,
})
const ledger = new Ledger(runtime)
const after = afterResponse(runtime)
let strayErrors = 0
runtime.on('thread:error', () => {
  strayErrors++
})

const some = (most: number): number => Math.floor(Math.random() * most)

/** What a request asks for besides its answer: mostly short work, now and then a disaster. */
function addJobs(req: IncomingMessage): void {
  req.after('noop')
  const dice = Math.random()
  if (dice < 0.3) req.after('spin', { ms: some(4) })
  else if (dice < 0.5) req.after('call', { ms: some(30) }, { order: 'parallel' })
  else if (dice < 0.6) req.after('flaky')
  else if (dice < 0.68) req.after('keyed', { ms: 1 })
  else if (dice < 0.72) req.after('noop', undefined, { delay: some(200), priority: some(5) })
  else if (dice < 0.8) cancelSoon(req.after('call', { ms: 50 }))
  else if (dice < 0.84) cancelSoon(req.after('wait'))
  else if (dice < 0.88) req.after('wait')
  else if (dice < 0.9) req.after('late')
  else if (dice < 0.906) req.after('exit')
  else if (dice < 0.912) req.after('hang')
  else if (dice < 0.914) req.after('glutton')
  else for (let count = some(40); count > 0; count--) req.after('noop', undefined, { when: 'always' })
}

function cancelSoon(job: { cancel(): boolean }): void {
  setTimeout(() => job.cancel(), some(40))
}

const server = createServer((req, res) => {
  after(req, res, () => {
    addJobs(req)
    answer(req, res)
  })
})

function answer(req: IncomingMessage, res: ServerResponse): void {
  if (req.url === '/fail') res.writeHead(500).end('no')
  else if (req.url === '/late') setTimeout(() => res.end('late'), some(20))
  else if (req.url === '/stream') stream(res, 5)
  else res.end('ok')
}

function stream(res: ServerResponse, left: number): void {
  if (left === 0) return void res.end()
  res.write('x'.repeat(10_000))
  setTimeout(() => stream(res, left - 1), some(5))
}

interface Sample {
  readonly minute: number
  readonly rssMb: number
  readonly heapMb: number
  readonly handles: number
  readonly threads: number
  readonly pending: number
  readonly accepted: number
}

const samples: Sample[] = []
const begun = performance.now()

async function sample(): Promise<void> {
  const { rss, heapUsed } = process.memoryUsage()
  samples.push({
    minute: (performance.now() - begun) / 60_000,
    rssMb: rss / 2 ** 20,
    heapMb: heapUsed / 2 ** 20,
    handles: process.getActiveResourcesInfo().length,
    threads: (await readdir('/proc/self/task')).length,
    pending: runtime.stats().pending,
    accepted: ledger.accepted,
  })
}

await runtime.ready()
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
const clients = fork(new URL('./soak/clients.ts', import.meta.url))
clients.send((server.address() as AddressInfo).port)
const every = Math.max(250, Math.min(5000, (minutes * 60_000) / 120))
const timer = setInterval(() => void sample(), every)
await new Promise((resolve) => setTimeout(resolve, minutes * 60_000))
clearInterval(timer)
clients.kill()
server.close()
server.closeAllConnections()
const report = await runtime.stop({ timeout: 30_000 })

/** The median of a measure over a part of the run, given as shares of it. */
function median(measure: keyof Sample, from: number, to: number): number {
  const part = samples.slice(Math.floor(samples.length * from), Math.ceil(samples.length * to))
  const sorted = part.map((one) => one[measure]).sort((a, b) => a - b)
  return sorted[sorted.length >> 1] ?? 0
}

/** How much a measure may differ between early and late. */
const FLAT = 1.15
const measures = (['rssMb', 'handles', 'threads'] as const).map((name) => {
  const early = median(name, 0.15, 0.25)
  const late = median(name, 0.9, 1)
  return { name, early, late, isFlat: late <= early * FLAT + 2 }
})
console.table(measures)
console.table({ accepted: ledger.accepted, ...ledger.ends, unaccounted: ledger.open.size, strayErrors })
for (const finding of ledger.findings) console.log(`finding: ${finding}`)
for (const [id, name] of [...ledger.open].slice(0, 20)) console.log(`unaccounted: ${id} (${name})`)
const folder = new URL('./results/', import.meta.url)
await mkdir(folder, { recursive: true })
const result = {
  date: new Date().toISOString().slice(0, 10),
  minutes,
  accepted: ledger.accepted,
  ends: ledger.ends,
  unaccounted: ledger.open.size,
  findings: ledger.findings,
  stop: { ...report, lost: report.lost.length, left: report.left.length },
  measures,
  samples,
}
await writeFile(new URL('soak.json', folder), `${JSON.stringify(result, null, 1)}\n`)
await writeFile(
  new URL('soak.svg', folder),
  drawLines(samples, ['rssMb', 'heapMb', 'handles', 'threads', 'pending']),
)
const isGood =
  ledger.open.size === 0 && ledger.findings.length === 0 && measures.every(({ isFlat }) => isFlat)
console.log(isGood ? 'Every accepted job is accounted for, and nothing grew.' : 'The soak has findings.')
process.exitCode = isGood ? 0 : 1
