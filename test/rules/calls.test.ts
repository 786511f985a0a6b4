import { describe, expect, test } from 'vitest'
import { compile } from '../kit/user-program.ts'

const head = `import { after, createRuntime, defineTask, type HandlerContext, type Runtime } from 'aftertask'
import { z } from 'zod'
import type { IncomingMessage } from 'node:http'
import 'aftertask/polka'
const handler = new URL('./x.ts', import.meta.url)
const mail = defineTask({ name: 'mail', payload: z.object({ to: z.string() }), result: z.object({ id: z.number() }), handler })
const report = defineTask({ name: 'report', payload: z.object({ month: z.string() }), handler })
const sweep = defineTask({ name: 'sweep', handler })
const runtime = createRuntime({ tasks: [mail, report] })
declare const req: IncomingMessage
declare const ctx: HandlerContext
`

/** What the compiler says of one statement, as `code message`; an empty text when it takes the statement. */
function verdicts(statements: readonly string[]): string[] {
  const faults = compile({ 'app.ts': head + statements.join('\n') })
  const first = head.split('\n').length
  return statements.map((_, index) => {
    const fault = faults.find(({ line }) => line === first + index)
    return fault === undefined ? '' : `${fault.code} ${fault.message}`
  })
}

describe('the compiler', () => {
  test('blames the payload for a wrong payload, wherever a task can be given', () => {
    const wrong = [
      'runtime.enqueue(mail, { to: 3 })',
      "runtime.enqueue('mail', { to: 3 })",
      'runtime.tryEnqueue(mail, { to: 3 })',
      'runtime.enqueueMany([{ task: mail, payload: { to: 3 } }])',
      "runtime.schedule('x', mail, { to: 3 }, { every: 1000 })",
      'req.after(mail, { to: 3 })',
      'req.tryAfter(mail, { to: 3 })',
      'after(mail, { to: 3 })',
      'void ctx.enqueue(mail, { to: 3 })',
    ]
    for (const verdict of verdicts(wrong))
      expect(verdict).toBe("TS2322 Type 'number' is not assignable to type 'string'.")
  })

  test('blames the option for a wrong option', () => {
    expect(verdicts(["runtime.enqueue(mail, { to: 'a' }, { when: 'success' })"])).toEqual([
      "TS2322 Type '\"success\"' is not assignable to type 'When | undefined'.",
    ])
  })

  test('says that an argument is missing only where the payload is', () => {
    const missing = ['runtime.enqueue(mail)', 'req.after(mail)', 'void ctx.enqueue(mail)']
    for (const verdict of verdicts(missing)) expect(verdict).toBe('TS2554 Expected 2-3 arguments, but got 1.')
    const [unknownTask, unknownName, aFunction] = verdicts([
      'runtime.enqueue(sweep)',
      "runtime.enqueue('mial')",
      'req.after(() => 1)',
    ])
    expect(unknownTask).toMatch(/^TS2345 Argument of type 'Task<"sweep", .* is not assignable to parameter/)
    expect(unknownName).toMatch(/^TS2345 Argument of type '"mial"' is not assignable to parameter/)
    expect(aFunction).toBe(
      "TS2345 Argument of type '() => number' is not assignable to parameter of type 'string | AnyTask'.",
    )
  })

  test('refuses an entry of enqueueMany without its payload, and a handler that is a path', () => {
    const [entry, path] = verdicts([
      'runtime.enqueueMany([{ task: mail }])',
      "defineTask({ name: 'x', handler: './x.ts' })",
    ])
    expect(entry).toMatch(/^TS2322 /)
    expect(path).toMatch(
      /^TS2322 .* type '"a path is no URL; write new URL\('.\/workers\/name\.js', import\.meta\.url\)"'\.$/,
    )
  })

  test('knows the result of each job of enqueueMany, and takes tasks by name from a Runtime without tasks', () => {
    expect(
      verdicts([
        "const [a, b] = runtime.enqueueMany([{ task: mail, payload: { to: 'a' } }, { task: 'report', payload: { month: 'May' } }])",
        'const id: Promise<{ id: number }> = a.result()',
        'const unknown: Promise<unknown> = b.result()',
        "const ids: Promise<{ id: number }>[] = runtime.enqueueMany(['a'].map((to) => ({ task: mail, payload: { to } }))).map((job) => job.result())",
        "function useAny(any: Runtime) { any.enqueue('mail', { to: 'a' }); any.enqueue(mail, { to: 'a' }) }",
        'useAny(runtime); console.log(id, unknown, ids)',
      ]),
    ).toEqual(['', '', '', '', '', ''])
  })

  test('finds no fault in the published declarations, with the oldest library that Node 22 needs', () => {
    const subpaths = ['', '/polka', '/http', '/sqlite', '/errors', '/bullmq']
    const app = subpaths.map((path, index) => `export * as part${index} from 'aftertask${path}'`).join('\n')
    const ours = compile({ 'app.ts': app }, { skipLibCheck: false }).filter(
      ({ file }) => !file.includes('node_modules/'),
    )
    expect(ours).toEqual([])
  })
})
