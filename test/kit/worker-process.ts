/** `aftertask work` as a child process. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const program = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

/** One worker process. */
export interface WorkerProcess {
  readonly child: ChildProcess
  /** Its lines of JSON so far. */
  readonly lines: Record<string, unknown>[]
  /** Resolves with the first line of this event. */
  told(event: string): Promise<Record<string, unknown>>
  /** Resolves to its exit code once it is gone. */
  readonly gone: Promise<number | null>
  /** Sends a signal and resolves to its exit code once it is gone. */
  end(signal: NodeJS.Signals): Promise<number | null>
}

/** Starts a worker process, and resolves once it is ready. */
export function startWorker(tasks: URL, ...args: readonly string[]): Promise<WorkerProcess> {
  return startWorkerIn({}, tasks, ...args)
}

/** The same with more in its environment. */
export async function startWorkerIn(
  env: Readonly<Record<string, string>>,
  tasks: URL,
  ...args: readonly string[]
): Promise<WorkerProcess> {
  const child = spawn(process.execPath, [program, 'work', fileURLToPath(tasks), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  })
  const lines: Record<string, unknown>[] = []
  const looks = new Set<() => void>()
  let rest = ''
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    const parts = (rest + chunk).split('\n')
    rest = parts.pop() ?? ''
    for (const part of parts) lines.push(JSON.parse(part) as Record<string, unknown>)
    for (const look of looks) look()
  })
  const gone = once(child, 'exit')
  const told = (event: string): Promise<Record<string, unknown>> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const line = lines.find((one) => one['event'] === event)
        if (line === undefined) return
        looks.delete(look)
        resolve(line)
      }
      looks.add(look)
      look()
      gone.then(([code]) => reject(new Error(`The worker ended with code ${code} before "${event}".`)))
    })
  await told('ready')
  return {
    child,
    lines,
    told,
    gone: gone.then(([code]) => code as number | null),
    end: async (signal) => {
      child.kill(signal)
      const [code] = (await gone) as [number | null]
      return code
    },
  }
}
