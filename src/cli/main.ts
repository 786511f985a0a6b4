#!/usr/bin/env node
/** `aftertask`: the command. `work` runs a worker process, `size` says how many threads and processes a load takes. */
import { existsSync, readFileSync } from 'node:fs'
import { size, sizeUsage } from './size.ts'
import { work, workUsage } from './work.ts'

const [command, ...args] = process.argv.slice(2)

try {
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(`${command === 'size' ? sizeUsage : workUsage}\n`)
  } else if (command === '--version' || command === '-v') process.stdout.write(`${version()}\n`)
  else if (command === 'work') await work(args)
  else if (command === 'size') process.stdout.write(`${size(args)}\n`)
  else {
    const isAsked = command === undefined || ['help', '--help', '-h'].includes(command)
    process.stdout.write(
      `${isAsked ? '' : `There is no command "${command}".\n\n`}${workUsage}\n\n${sizeUsage}\n`,
    )
    if (!isAsked) process.exitCode = 2
  }
} catch (error) {
  process.stderr.write(`aftertask ${command}: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 2
}

/** The version in the package that this file belongs to, wherever in it the file lies. */
function version(): string {
  for (let folder = new URL('.', import.meta.url); folder.pathname !== '/'; folder = new URL('..', folder)) {
    const file = new URL('package.json', folder)
    if (existsSync(file)) return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
  }
  return 'unknown'
}
