/** Starts an example as a person would, in a process of its own on a free port, and listens to what it prints. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'

/** An example that runs. */
export interface Example {
  /** Its address, without a slash at the end. */
  readonly url: string
  /** Everything printed so far. */
  output(): string
  /** Resolves once something was printed so many times. */
  printed(part: string, times?: number): Promise<void>
  /** Sends a signal and resolves to the exit code. */
  end(signal: NodeJS.Signals): Promise<number | null>
}

/** What an example printed on each stream, and its exit code. */
export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Starts an example and resolves once it listens. It is killed when the test ends. */
export async function startExample(name: string, env: Record<string, string> = {}): Promise<Example> {
  const child = spawnExample(name, { PORT: '0', ...env })
  // Not `exit`: what it printed last may come after that.
  const exited = once(child, 'close') as Promise<[number | null]>
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await exited
  })
  let output = ''
  const looks = new Set<() => void>()
  const hear = (chunk: Buffer): void => {
    output += chunk
    for (const look of looks) look()
  }
  child.stdout.on('data', hear)
  child.stderr.on('data', hear)
  const printed = async (part: string, times = 1): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const look = (): void => {
      if (output.split(part).length > times) resolve()
    }
    looks.add(look)
    look()
    const ended = exited.then(() => {
      if (output.split(part).length <= times) throw new Error(`${name} ended and had printed:\n${output}`)
    })
    await Promise.race([promise, ended])
    looks.delete(look)
  }
  await printed('http://localhost:')
  const port = /http:\/\/localhost:(\d+)/.exec(output)?.[1]
  return {
    url: `http://127.0.0.1:${port}`,
    output: () => output,
    printed,
    async end(signal) {
      child.kill(signal)
      const [code] = await exited
      return code
    },
  }
}

/** Runs an example that is expected to end by itself. */
export async function runExample(name: string, env: Record<string, string>): Promise<Ended> {
  const child = spawnExample(name, env)
  onTestFinished(() => void child.kill('SIGKILL'))
  const closed = once(child, 'close') as Promise<[number | null]>
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), closed])
  return { code, stdout, stderr }
}

function spawnExample(name: string, env: Record<string, string>) {
  const file = fileURLToPath(new URL(`../../examples/${name}/server.ts`, import.meta.url))
  return spawn(process.execPath, [file], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}
