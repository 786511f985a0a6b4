/** `npm run fuzz -- NAME --seed N --runs N --jobs N`: long runs by hand, and with `--path` the replay of one that failed. */
import { fork } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type Fuzzer, freshSeed, report } from './fuzzer.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: 'string', default: String(freshSeed()) },
    runs: { type: 'string', default: '1000' },
    jobs: { type: 'string', default: '1' },
    path: { type: 'string' },
  },
})

const here = import.meta.dirname
const names = readdirSync(here).filter((folder) => existsSync(join(here, folder, 'fuzzer.ts')))
const [name = ''] = positionals
if (!names.includes(name)) throw new RangeError(`fuzz "${name}": expected one of ${names.join(', ')}`)

const seed = Number(values.seed)
const runs = Number(values.runs)
// Between two chunks a search closes what it has open, and tells how far it is.
const CHUNK = Math.min(1000, Math.max(100, runs / 20))
const jobs = Number(values.jobs)

// A runtime with a fault may not come to its end, and would keep this process alive.
process.exit(jobs > 1 ? await share() : await run())

/** Several processes, each with seeds of its own. */
async function share(): Promise<number> {
  const codes = Array.from({ length: jobs }, (_, index) => {
    const own = ['--seed', String(seed + index * runs), '--runs', String(Math.ceil(runs / jobs))]
    const child = fork(import.meta.filename, [name, ...own])
    return new Promise<number>((resolve) => child.on('exit', (code) => resolve(code ?? 1)))
  })
  return Math.max(...(await Promise.all(codes)))
}

async function run(): Promise<number> {
  const { fuzzer } = (await import(`./${name}/fuzzer.ts`)) as { fuzzer: Fuzzer }
  const started = performance.now()
  for (let done = 0; done < runs; done += CHUNK) {
    const count = Math.min(CHUNK, runs - done)
    const finding = await fuzzer.search({ seed: seed + done, runs: count, path: values.path })
    if (finding !== undefined) {
      console.error(report(name, finding))
      return 1
    }
    if (values.path !== undefined) break
    const seconds = (performance.now() - started) / 1000
    const total = done + count
    console.log(
      `${name}, seed ${seed}: ${total} runs without a fault, ${seconds.toFixed(1)} s, ${Math.round(total / seconds)} a second`,
    )
  }
  return 0
}
