/**
 * Starts the cluster on this machine: a web process and two worker processes. The store is the one that AFTERTASK_STORE
 * names; without it one is started, `redis` or, when that word is given, `postgres`, and is gone afterwards.
 */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { startStore } from './store.ts'

const { AFTERTASK_STORE: given } = process.env
const own =
  given === undefined ? await startStore(process.argv[2] === 'postgres' ? 'postgres' : 'redis') : undefined
const env = { ...process.env, AFTERTASK_STORE: given ?? own?.url }
console.log(`the store is ${env.AFTERTASK_STORE}`)
const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url))
const aftertask = fileURLToPath(new URL('cli/main.js', import.meta.resolve('aftertask')))

const start = (...args: string[]): ReturnType<typeof spawn> =>
  spawn(process.execPath, args, { stdio: 'inherit', env })

const processes = [
  start(here('web.ts')),
  start(aftertask, 'work', here('tasks.ts')),
  start(aftertask, 'work', here('tasks.ts')),
]

// What this process is told, the others are told; each ends in its own good order. From a terminal they hear it anyway.
// Once: a worker takes the second signal for an order to end at once.
let isStopping = false
const stop = (): void => {
  if (isStopping) return
  isStopping = true
  for (const child of processes) child.kill('SIGTERM')
}
process.on('SIGTERM', stop)
process.on('SIGINT', () => {})
const codes = await Promise.all(
  processes.map(async (child, at) => {
    const code = await new Promise<number>((resolve) => child.once('exit', (it) => resolve(it ?? 1)))
    // Without its web process it is no cluster; a worker that was killed is what the others are for.
    if (at === 0) stop()
    return code
  }),
)
own?.stop()
process.exitCode = Math.max(...codes)
