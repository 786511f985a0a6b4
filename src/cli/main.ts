#!/usr/bin/env node
/** `aftertask`: the command. What each word after it does is in a module of its own, which is loaded only then. */
import { existsSync, readFileSync } from 'node:fs'
import { closest } from '../rules/options.ts'
import { AftertaskError } from '../words/errors.ts'
import { type Command, EXIT } from './command.ts'
import { printable } from './output.ts'

const commands: Readonly<Record<string, readonly [does: string, load: () => Promise<Command>]>> = {
  jobs: ['lists the jobs that fit', async () => (await import('./jobs.ts')).jobs],
  job: ['shows one job', async () => (await import('./job.ts')).job],
  tail: ['follows what happens to jobs', async () => (await import('./tail.ts')).tail],
  top: ['shows one screen of how it stands', async () => (await import('./top.ts')).top],
  failures: ['groups dead jobs by their cause', async () => (await import('./failures.ts')).failures],
  cancel: ['cancels jobs', async () => (await import('./act.ts')).cancel],
  revive: ['lets dead jobs start over', async () => (await import('./act.ts')).revive],
  remove: ['forgets jobs that are over', async () => (await import('./act.ts')).remove],
  'run-now': ['lets jobs be due at once', async () => (await import('./act.ts')).runNow],
  schedules: ['lists the schedules', async () => (await import('./inventory.ts')).schedules],
  pools: ['lists the pools, and pauses them', async () => (await import('./inventory.ts')).pools],
  check: [
    'says by its exit code whether it stands as it should',
    async () => (await import('./check.ts')).check,
  ],
  export: ['writes jobs as NDJSON or CSV', async () => (await import('./export.ts')).exportJobs],
  work: ['runs the jobs of a shared store or journal', async () => (await import('./work.ts')).workCommand],
  size: [
    'says how many threads and processes a load takes',
    async () => (await import('./size.ts')).sizeCommand,
  ],
}

const UNREACHABLE = ['ERR_CONTROL_UNAVAILABLE', 'ERR_BROKER_UNAVAILABLE', 'ERR_JOURNAL_LOCKED']

const [word, ...args] = process.argv.slice(2)

try {
  const code = await main()
  if (code !== undefined) process.exitCode = code
} catch (error) {
  say(`aftertask ${word}: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = isUnreachable(error) ? EXIT.unreachable : EXIT.misused
}

async function main(): Promise<number | undefined> {
  if (word === '--version' || word === '-v') {
    process.stdout.write(`${version()}\n`)
    return EXIT.done
  }
  const isHelp = word === undefined || ['help', '--help', '-h'].includes(word)
  const name = isHelp ? args[0] : word
  const [, load] = (name !== undefined && Object.hasOwn(commands, name) && commands[name]) || []
  if (load === undefined) {
    if (isHelp && name === undefined) {
      process.stdout.write(`${overview()}\n`)
      return EXIT.done
    }
    const near = closest(String(name), Object.keys(commands))
    say(
      `There is no command "${name}".${near === undefined ? '' : ` Did you mean "${near}"?`}\n\n${overview()}`,
    )
    return EXIT.misused
  }
  const command = await load()
  if (!(isHelp || args.includes('--help') || args.includes('-h'))) return command.run(args)
  process.stdout.write(`${command.usage}\n`)
  return EXIT.done
}

function overview(): string {
  const lines = Object.entries(commands).map(([name, [does]]) => `  ${name.padEnd(11)}${does}`)
  return `aftertask <command>\n${lines.join('\n')}\n\naftertask <command> --help says how to call it; aftertask --version, which release this is.`
}

/** What a job or a server says in an error is not to steer the terminal either. */
function say(text: string): void {
  process.stderr.write(`${text.split('\n').map(printable).join('\n')}\n`)
}

function isUnreachable(error: unknown): boolean {
  // What a process answers over its socket has the code, and not the class.
  return error instanceof AftertaskError && UNREACHABLE.includes(error.code)
}

/** The version in the package that this file belongs to, wherever in it the file lies. */
function version(): string {
  for (let folder = new URL('.', import.meta.url); folder.pathname !== '/'; folder = new URL('..', folder)) {
    const file = new URL('package.json', folder)
    if (existsSync(file)) return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
  }
  return 'unknown'
}
