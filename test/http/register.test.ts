import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** An app of its own: in this program an augmented `Register` would reach every other file. */
const app = `
import polka from 'polka'
import { after, createRuntime, defineTask, type Job } from 'aftertask'
import { afterResponse } from 'aftertask/polka'
import { z } from 'zod'

const mail = defineTask({
  name: 'mail',
  payload: z.object({ to: z.string() }),
  result: z.object({ id: z.number() }),
  handler: new URL('./mail.ts', import.meta.url),
})
const runtime = createRuntime({ tasks: [mail] })

declare module 'aftertask' {
  interface Register {
    runtime: typeof runtime
  }
}

polka()
  .use(afterResponse(runtime))
  .get('/', (req, res) => {
    const job: Job<{ id: number }> = req.after('mail', { to: 'a' })
    const tried: Job<{ id: number }> | null = req.tryAfter('mail', { to: 'a' })
    const other: Job<{ id: number }> = after('mail', { to: 'a' })
    // @ts-expect-error no task has this name
    req.after('mial', { to: 'a' })
    // @ts-expect-error the payload has no such type
    req.after('mail', { to: 1 })
    // @ts-expect-error the payload has no such type
    after('mail', { to: 1 })
    res.end([job, tried, other].length.toString())
  })
`

test('a registered runtime types req.after, req.tryAfter and after by name', () => {
  const folder = `${root}.test-results/registered-${process.pid}/`
  onTestFinished(() => rmSync(folder, { recursive: true }))
  mkdirSync(folder, { recursive: true })
  writeFileSync(`${folder}app.ts`, app)
  writeFileSync(
    `${folder}tsconfig.json`,
    JSON.stringify({
      extends: '../../tsconfig.json',
      compilerOptions: { rootDir: '../..', outDir: '../../dist', noUnusedLocals: false },
      include: ['app.ts'],
    }),
  )
  let output = ''
  try {
    execFileSync(`${root}node_modules/.bin/tsc`, ['-p', folder], { encoding: 'utf8' })
  } catch (error) {
    output = (error as { stdout: string }).stdout
  }
  expect(output).toBe('')
})
