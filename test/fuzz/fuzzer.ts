/**
 * The common shape of the fuzzers. Each has a folder of its own here, whose `fuzzer.ts` exports `fuzzer`; `npm run fuzz`
 * runs it by the folder's name, and a test beside it runs it briefly with a fresh seed.
 */
import fc from 'fast-check'

/** How far to look. */
export interface Search {
  readonly seed: number
  readonly runs: number
  /** One program of an earlier search: fast-check's own word for it. */
  readonly path?: string | undefined
  /** False: the first program that fails will do, as large as it is. */
  readonly shrinks?: boolean
}

/** A program that fails, made as small as it will go. */
export interface Finding {
  /** What went wrong. */
  readonly fault: string
  /** The program, for a person to read. */
  readonly program: string
  readonly seed: number
  readonly path: string
  /** Runs until it was found. */
  readonly runs: number
}

/** A fuzzer: it looks for a program that breaks a promise. */
export interface Fuzzer {
  /** The folder's name, and the word after `npm run fuzz --`. */
  readonly name: string
  /** Resolves to the first fault, or to undefined. What it has started is ended by then. */
  search(search: Search): Promise<Finding | undefined>
}

/** What a fuzzer is made of. */
export interface FuzzerParts<Program> {
  readonly name: string
  readonly programs: fc.Arbitrary<Program>
  /** Runs one program. Resolves to what went wrong, or undefined; a rejection is a fault as well. */
  readonly play: (program: Program) => Promise<string | undefined>
  /** Shows a program to a person. Default: fast-check's own way. */
  readonly show?: (program: Program) => string
  /** Called once before a search, and its answer after: for runtimes that are shared by all programs. */
  readonly open?: () => Promise<() => Promise<void>>
}

/** Makes a fuzzer of programs that fast-check generates and shrinks. */
export function makeFuzzer<Program>(parts: FuzzerParts<Program>): Fuzzer {
  const { name, programs, show = (program) => fc.stringify(program) } = parts
  return {
    name,
    async search({ seed, runs, path, shrinks = true }) {
      const close = await parts.open?.()
      try {
        const property = fc.asyncProperty(programs, async (program) => {
          const fault = await parts.play(program)
          if (fault !== undefined) throw new Error(fault)
        })
        const how = { seed, numRuns: runs, endOnFailure: !shrinks, ...(path === undefined ? {} : { path }) }
        const result = await fc.check(property, how)
        if (!result.failed || result.counterexample === null) return undefined
        const { errorInstance } = result
        const fault = errorInstance instanceof Error ? errorInstance.message : String(errorInstance)
        return {
          fault,
          program: show(result.counterexample[0]),
          seed: result.seed,
          path: result.counterexamplePath ?? '',
          runs: result.numRuns,
        }
      } finally {
        await close?.()
      }
    },
  }
}

/** Says what was found, and how to see it again. */
export function report(name: string, { fault, program, seed, path, runs }: Finding): string {
  return [
    `The fuzzer "${name}" found a fault in run ${runs} of seed ${seed}: ${fault}`,
    `Replay: npm run fuzz -- ${name} --seed=${seed} --path ${path}`,
    'Shrunk to:',
    program,
  ].join('\n')
}

/** The seed of a test: a new one each time, or the one of the environment: `AFTERTASK_SEED=1 npx vitest run test/fuzz`. */
export function freshSeed(): number {
  return Number(process.env['AFTERTASK_SEED'] ?? Math.trunc(Math.random() * 2 ** 31))
}
