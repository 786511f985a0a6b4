/** `npm run simulate -- --broker sqlite --seed N --runs N --jobs N`: long runs by hand, and the replay of one that failed. */
import { fork } from 'node:child_process'
import { parseArgs } from 'node:util'
import { inCluster, inMemory, onDisk, onSharedDisk, report, type Simulation, search } from './simulate.ts'

const { values } = parseArgs({
  options: {
    broker: { type: 'string', default: 'memory' },
    seed: { type: 'string', default: String(Math.trunc(Math.random() * 2 ** 31)) },
    runs: { type: 'string', default: '10000' },
    jobs: { type: 'string', default: '1' },
    steps: { type: 'string', default: '80' },
    least: { type: 'string', default: '1' },
    path: { type: 'string' },
  },
})

// One search holds what it needs to shrink; many short ones stay small.
const CHUNK = 5000

const seed = Number(values.seed)
const runs = Number(values.runs)
const jobs = Number(values.jobs)
const most = Number(values.steps)
const least = Number(values.least)
const steps = { least, most }
const { broker } = values
const simulations = new Map<string, () => Simulation>([
  ['memory', inMemory],
  ['sqlite', onDisk],
  ['shared', onSharedDisk],
  ['cluster', inCluster],
])
const make = simulations.get(broker)
if (make === undefined)
  throw new RangeError(`--broker ${broker}: expected ${[...simulations.keys()].join(', ')}`)
const simulation = make()

// A runtime with a fault may not come to its end, and would keep this process alive.
process.exit(jobs > 1 ? await share() : await run())

/** Several processes, each with a seed of its own. */
async function share(): Promise<number> {
  const codes = Array.from({ length: jobs }, (_, index) => {
    const own = ['--seed', String(seed + index * runs), '--runs', String(Math.ceil(runs / jobs))]
    const size = ['--broker', broker as string, '--steps', String(most), '--least', String(least)]
    const child = fork(import.meta.filename, [...own, ...size])
    return new Promise<number>((resolve) => child.on('exit', (code) => resolve(code ?? 1)))
  })
  return Math.max(...(await Promise.all(codes)))
}

async function run(): Promise<number> {
  const started = performance.now()
  for (let done = 0; done < runs; done += CHUNK) {
    const count = Math.min(CHUNK, runs - done)
    const finding = await search({ seed: seed + done, runs: count, steps, simulation, path: values.path })
    if (finding !== undefined) {
      console.error(report(finding, steps))
      return 1
    }
    if (values.path !== undefined) break
    const seconds = (performance.now() - started) / 1000
    const total = done + count
    console.log(
      `seed ${seed}: ${total} runs without a fault, ${seconds.toFixed(1)} s, ${Math.round(total / seconds)} a second`,
    )
  }
  return 0
}
