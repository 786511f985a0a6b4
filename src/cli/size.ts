/** `aftertask size`: from the rate of arrival and the time of a job to threads and processes. */
import { OptionsInvalidError } from '../words/errors.ts'
import { type Command, EXIT } from './command.ts'
import { positive, readFlags } from './flags.ts'

/** How to call it. */
const sizeUsage = `aftertask size --rate <jobs a second> --ms <milliseconds of a job>
  [--peak 1]         how many times the average the worst minutes are
  [--busy 0.7]       the share of the time that threads may be busy at the peak
  [--cores 4]        processors of one machine; one is left to the event loop`

const flags = {
  rate: { type: 'string' },
  ms: { type: 'string' },
  peak: { type: 'string', default: '1' },
  busy: { type: 'string', default: '0.7' },
  cores: { type: 'string', default: '4' },
} as const

// A sum over all of them is made; more than this is a slip of the pen.
const MOST_THREADS = 1_000_000

/** What a load takes. */
export interface Size {
  /** Threads that would be busy all the time: the offered load in Erlang. */
  readonly load: number
  readonly threads: number
  /** Processes of one machine's size each. */
  readonly processes: number
  /** The share of jobs that have to wait, and how many milliseconds all of them wait on average. */
  readonly waits: number
  readonly meanWait: number
}

/**
 * Threads and processes for a load: `threads = ceil(rate x seconds x peak / busy)`, and Erlang's C formula for how long
 * jobs wait in front of so many. `rate` is jobs a second, `ms` the run time of one.
 */
export function sizeOf(given: { rate: number; ms: number; peak: number; busy: number; cores: number }): Size {
  const { rate, ms, peak, busy, cores } = given
  const load = (rate * peak * ms) / 1000
  // A last digit of the division must not cost a thread.
  const threads = Math.max(1, Math.ceil(load / busy - 1e-9))
  const processes = Math.ceil(threads / Math.max(1, cores - 1))
  const waits = load >= threads ? 1 : erlangC(threads, load)
  const meanWait = load >= threads ? Number.POSITIVE_INFINITY : (waits * ms) / (threads - load)
  return { load, threads, processes, waits, meanWait }
}

// By Erlang's recursion for B, which no factorial can overflow.
function erlangC(threads: number, load: number): number {
  let blocked = 1
  for (let n = 1; n <= threads; n++) blocked = (load * blocked) / (n + load * blocked)
  return (threads * blocked) / (threads - load * (1 - blocked))
}

/** `aftertask size`. */
export const sizeCommand: Command = {
  usage: sizeUsage,
  async run(args) {
    process.stdout.write(`${size(args)}\n`)
    return EXIT.done
  },
}

/** Answers the command line. Throws OptionsInvalidError when it makes no sense. */
export function size(args: readonly string[]): string {
  const { values } = readFlags(args, flags, sizeUsage)
  const given = {
    rate: positive('rate', values.rate, sizeUsage),
    ms: positive('ms', values.ms, sizeUsage),
    peak: positive('peak', values.peak, sizeUsage),
    busy: positive('busy', values.busy, sizeUsage),
    cores: positive('cores', values.cores, sizeUsage),
  }
  const needed = (given.rate * given.peak * given.ms) / 1000 / given.busy
  if (!(needed <= MOST_THREADS)) {
    throw new OptionsInvalidError(
      `--rate ${given.rate} --ms ${given.ms}: that takes ${needed.toExponential(1)} threads; expected at most ${MOST_THREADS}.`,
      'rate',
    )
  }
  if (given.busy >= 1)
    throw new OptionsInvalidError('--busy must be below 1: a full queue never gets empty.', 'busy')
  const { load, threads, processes, waits, meanWait } = sizeOf(given)
  return [
    `load       ${round(load)} threads busy at the peak (${given.rate} jobs/s x ${given.peak} x ${given.ms} ms)`,
    `threads    ${threads}, ${Math.round((load / threads) * 100)} % busy`,
    `processes  ${processes} with ${Math.max(1, given.cores - 1)} threads each, on machines of ${given.cores} processors`,
    `waiting    ${Math.round(waits * 100)} % of the jobs wait; ${round(meanWait)} ms on average over all`,
  ].join('\n')
}

function round(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3).replace(/\.?0+$/, '')
}
