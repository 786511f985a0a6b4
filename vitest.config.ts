import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

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
    // Many files wait for leases and servers most of their time, so that two at once go well on two processors.
    maxWorkers: Math.max(2, availableParallelism() - 1),
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
