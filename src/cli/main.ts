#!/usr/bin/env node
/** `aftertask`: the command. `work` runs a worker process, `size` says how many threads and processes a load takes. */
import { size, sizeUsage } from './size.ts'
import { work, workUsage } from './work.ts'

const [command, ...args] = process.argv.slice(2)

try {
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(`${command === 'size' ? sizeUsage : workUsage}\n`)
  } else if (command === 'work') await work(args)
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
