/** `aftertask` in a terminal of its own, and as a plain child process. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const program = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

/** One command in a terminal. */
export interface Terminal {
  readonly child: ChildProcess
  /** All that the terminal was sent so far. */
  readonly output: () => string
  /** Resolves once it was sent a text after what was waited for before; rejects when the command ends without. */
  shows(text: string): Promise<void>
  press(keys: string): void
  /** Resolves to its exit code. */
  readonly gone: Promise<number | null>
}

/** Starts a command in a terminal of 200 columns. `script`, which Debian always has, makes the terminal. */
export function inTerminal(...args: readonly string[]): Terminal {
  const words = [process.execPath, program, ...args].map((word) => `'${word}'`).join(' ')
  const child = spawn('script', ['-qefc', `stty cols 200 rows 50 && exec ${words}`, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, TERM: 'xterm-256color', NO_COLOR: undefined },
  })
  let text = ''
  let seen = 0
  const looks = new Set<() => void>()
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
    for (const look of looks) look()
  })
  const gone = once(child, 'close').then(([code]) => code as number | null)
  const shows = (wanted: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const at = text.indexOf(wanted, seen)
        if (at === -1) return
        seen = at + wanted.length
        looks.delete(look)
        resolve()
      }
      looks.add(look)
      look()
      void gone.then(() => reject(new Error(`It ended without "${wanted}":\n${JSON.stringify(text)}`)))
    })
  return { child, output: () => text, shows, press: (keys) => void child.stdin.write(keys), gone }
}

/** Runs a command without a terminal, to its end. */
export function aftertask(...args: readonly string[]): Promise<{ code: number; out: string; error: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [program, ...args], (failure, out, error) => {
      resolve({ code: Number(failure?.code ?? 0), out, error })
    })
  })
}
