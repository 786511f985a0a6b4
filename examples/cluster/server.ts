/** Starts the cluster on this machine: a web process and two worker processes, over the store that AFTERTASK_STORE names. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const store = process.env.AFTERTASK_STORE ?? 'redis://127.0.0.1:6379'
const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url))
const aftertask = fileURLToPath(new URL('cli/main.js', import.meta.resolve('aftertask')))

const start = (...args: string[]): ReturnType<typeof spawn> =>
  spawn(process.execPath, args, { stdio: 'inherit', env: { ...process.env, AFTERTASK_STORE: store } })

const processes = [
  start(here('web.ts')),
  start(aftertask, 'work', here('tasks.ts')),
  start(aftertask, 'work', here('tasks.ts')),
]

// What this process is told, the others are told; each ends in its own good order.
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    for (const child of processes) child.kill('SIGTERM')
  })
}
const codes = await Promise.all(
  processes.map(
    (child) => new Promise<number>((resolve) => child.once('exit', (code) => resolve(code ?? 1))),
  ),
)
process.exitCode = Math.max(...codes)
