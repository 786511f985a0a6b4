import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

// The longest first, so that none of them is left over when all others are done. The names of files or of their folders.
const LONG = ['simulation/', 'sqlite/crash', 'house/docs-code', 'bullmq/', 'contract/', 'fuzz/', 'examples/']

/** How early a file is run: what is not long comes last. */
function rankOf({ moduleId }: TestSpecification): number {
  const rank = LONG.findIndex((name) => moduleId.includes(`/${name}`))
  return rank === -1 ? LONG.length : rank
}

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return (await super.sort(files)).toSorted((one, other) => rankOf(one) - rankOf(other))
  }
}

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Type tests: the compiler is the runner. Faults elsewhere are `npm run typecheck`'s to report.
    typecheck: {
      enabled: true,
      include: ['test/**/*.test-d.ts'],
      tsconfig: 'tsconfig.json',
      ignoreSourceErrors: true,
    },
    // A process for each file: threads, signals and process-wide listeners of one file cannot reach another.
    pool: 'forks',
    // Many files wait for leases, servers and processes most of their time: three at once keep two processors busy.
    maxWorkers: availableParallelism() + 1,
    sequence: { sequencer: LongestFirst },
    // Processes and threads that tests start load what another has compiled before.
    env: {
      NODE_COMPILE_CACHE: fileURLToPath(new URL('node_modules/.cache/aftertask-tests', import.meta.url)),
    },
    setupFiles: ['test/house/leak-guard.ts'],
    // Guards against a test that hangs, and no measure of speed: a busy machine takes many times as long as a quiet one.
    testTimeout: 180_000,
    hookTimeout: 180_000,
    // What imports `aftertask` gets the build, as a user does, and Node loads it, not Vite.
    server: { deps: { external: [/\/dist\//] } },
    // Mocks and spies never outlive their test.
    restoreMocks: true,
    unstubEnvs: true,
    // The same report for a person and for scripts/test.js, which counts it.
    reporters: ['default', ['json', { outputFile: '.test-results/unit.json' }]],
  },
})
