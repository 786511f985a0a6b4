/**
 * `npm run profile`: where the time and the memory of the hot paths go. Profiles requests with an empty job after each
 * response, and tiny jobs through one thread: the event loop and the thread. Writes profiles that DevTools
 * opens to `bench/results/profiles`, and prints the functions that take most.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { createRuntime } from 'aftertask'
import { afterResponse } from 'aftertask/polka'
import { LoadMaker } from './kit/load.ts'
import { until } from './kit/pairs.ts'
import { allocationProfile, cpuProfile, type Hot, hotByBytes, hotByTime } from './kit/profiler.ts'
import { hello } from './kit/servers.ts'
import { amount, asText } from './kit/table.ts'
import { reasons } from './reasons.ts'
import { noop, profiled } from './tasks.ts'

const LIMIT = 0.03
const SHOWN = 25

const folder = new URL('./results/profiles/', import.meta.url)
mkdirSync(folder, { recursive: true })

await using runtime = createRuntime({ tasks: [noop, profiled], pool: { threads: 1 }, maxPending: 1_000_000 })
await runtime.ready()
await profileHttp()
await profileTiny()

/** Requests with a job after each response. */
async function profileHttp(): Promise<void> {
  await using load = new LoadMaker()
  await using server = await hello({ use: [afterResponse(runtime)], first: (req) => void req.after(noop) })
  let requests = 0
  const run = async (milliseconds: number): Promise<void> => {
    requests += (await load.run(server.port, milliseconds)).requests
    await until(() => runtime.stats().pending === 0)
  }
  await profileEach('http', run, () => requests)
}

/** Tiny jobs through one thread. */
async function profileTiny(): Promise<void> {
  let jobs = 0
  const run = async (milliseconds: number): Promise<void> => {
    const end = performance.now() + milliseconds
    while (performance.now() < end) {
      for (let job = 0; job < 100_000; job++) runtime.enqueue(noop)
      jobs += 100_000
      await until(() => runtime.stats().pending === 0)
    }
  }
  await profileEach('tiny', run, () => jobs)
}

async function profileEach(
  name: string,
  run: (milliseconds: number) => Promise<void>,
  done: () => number,
): Promise<void> {
  let before = 0
  const since = async (some: () => Promise<void>): Promise<number> => {
    before = done()
    await some()
    return done() - before
  }
  await run(1500)
  const cpu = await cpuProfile(() => since(() => run(4000)))
  save(`${name}-event-loop.cpuprofile`, cpu)
  showTimes(`${name}: time of the event loop`, hotByTime(cpu), done() - before)

  await runtime.enqueue(profiled).result()
  const ran = await since(() => run(3000))
  const thread = JSON.parse((await runtime.enqueue(profiled).result()) ?? '')
  save(`${name}-thread.cpuprofile`, thread)
  showTimes(`${name}: time of the thread`, hotByTime(thread), ran)

  const allocations = await allocationProfile(() => since(() => run(3000)))
  save(`${name}-event-loop.heapprofile`, allocations)
  showBytes(`${name}: what the event loop allocates`, hotByBytes(allocations), done() - before)
}

function showTimes(title: string, hot: readonly Hot[], count: number): void {
  const total = sum(hot)
  const lines = hot.slice(0, SHOWN).map(({ name, place, isOurs, self }) => {
    const share = self / total
    const remark = isOurs && share > LIMIT ? (reasons[name] ?? 'OVER 3%, AND NO REASON GIVEN') : ''
    return [percent(share), amount(self / count, 'us'), isOurs ? 'ours' : '', name, place, remark]
  })
  const ours = sum(hot.filter(({ isOurs }) => isOurs))
  console.log(asText({ title, head: ['self', 'each', '', 'function', 'where', ''], lines }))
  console.log(`${count} in ${amount(total / 1000, 'ms')} that were not idle; ours: ${percent(ours / total)}.`)
}

function showBytes(title: string, hot: readonly Hot[], count: number): void {
  const lines = hot
    .slice(0, SHOWN)
    .map(({ name, place, isOurs, self }) => [
      amount(self / count, 'bytes'),
      isOurs ? 'ours' : '',
      name,
      place,
    ])
  const ours = sum(hot.filter(({ isOurs }) => isOurs))
  console.log(asText({ title, head: ['each', '', 'function', 'where'], lines }))
  console.log(`In all ${amount(sum(hot) / count, 'bytes')} each, ours ${amount(ours / count, 'bytes')}.`)
}

function sum(hot: readonly Hot[]): number {
  return hot.reduce((total, { self }) => total + self, 0)
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)}%`
}

function save(file: string, profile: unknown): void {
  writeFileSync(new URL(file, folder), JSON.stringify(profile))
}
