/** Drives examples/hello over HTTP, as its README tells a person to. */
import { createServer } from 'node:net'
import { describe, expect, test } from 'vitest'
import { listen } from '../kit/serve.ts'
import { runExample, startExample } from './run-example.ts'

const status = async (url: string): Promise<number> => (await fetch(url)).status

const HELLO = '{"message":"Hello World"}'

/** Milliseconds until the response is here, its type and its text. */
async function timed(url: string): Promise<{ ms: number; type: string | null; text: string }> {
  const began = performance.now()
  const response = await fetch(url)
  const text = await response.text()
  return { ms: performance.now() - began, type: response.headers.get('content-type'), text }
}

describe('examples/hello', () => {
  test('answers / at once, and prints "All done" five seconds later', async () => {
    const hello = await startExample('hello')
    const { type, text } = await timed(`${hello.url}/`)
    const answered = performance.now()
    expect([type, text]).toEqual(['application/json', HELLO])
    expect(hello.output()).not.toContain('All done, status')
    await hello.printed('All done, status 200')
    expect(performance.now() - answered).toBeGreaterThan(4900)
  })

  test('answers / while a thread computes', async () => {
    const hello = await startExample('hello', { HELLO_SECONDS: '2' })
    await fetch(`${hello.url}/burn`)
    for (let i = 0; i < 10; i++) await fetch(`${hello.url}/`)
    expect(hello.output()).not.toContain('All done, status')
    await hello.printed('All done, status 200')
  })

  test('adds the task to every route, with the status that each answered', async () => {
    const hello = await startExample('hello', { HELLO_SECONDS: '0.01' })
    expect(await timed(`${hello.url}/hello`)).toMatchObject({ type: 'application/json', text: HELLO })
    expect(await timed(`${hello.url}/goodbye`)).toMatchObject({
      type: 'application/json',
      text: '{"message":"Goodbye World"}',
    })
    await hello.printed('All done, status 200', 2)
    expect(await status(`${hello.url}/nowhere`)).toBe(404)
    await hello.printed('All done, status 404')
  })

  test('keeps everybody waiting, the wrong way', async () => {
    const hello = await startExample('hello', { HELLO_SECONDS: '1' })
    let isOver = false
    const wrong = timed(`${hello.url}/wrong/burn`).finally(() => {
      isOver = true
    })
    let longest = 0
    while (!isOver) longest = Math.max(longest, (await timed(`${hello.url}/`)).ms)
    expect((await wrong).ms).toBeGreaterThan(990)
    expect(longest).toBeGreaterThan(500)
  })

  test('keeps only its own client waiting, the wrong way asleep', async () => {
    const hello = await startExample('hello', { HELLO_SECONDS: '1' })
    let isOver = false
    const wrong = timed(`${hello.url}/wrong/sleep`).finally(() => {
      isOver = true
    })
    expect((await timed(`${hello.url}/`)).text).toBe(HELLO)
    expect(isOver).toBe(false)
    expect((await wrong).ms).toBeGreaterThan(990)
  })

  test('finishes the tasks that it accepted before it ends, and exits with 0', async () => {
    const hello = await startExample('hello', { HELLO_SECONDS: '0.5' })
    await fetch(`${hello.url}/`)
    await fetch(`${hello.url}/burn`)
    expect(hello.output()).not.toContain('All done, status')
    expect(await hello.end('SIGTERM')).toBe(0)
    await hello.printed('All done, status 200', 2)
  })

  test('says in one line that its port is taken, and exits with 1', async () => {
    const port = await listen(createServer())
    const { code, stdout, stderr } = await runExample('hello', { PORT: String(port) })
    expect(stderr).toBe(
      `Port ${port} is taken. Stop what uses it, or choose another: PORT=${port + 1} npm start\n`,
    )
    expect(stdout).toBe('')
    expect(code).toBe(1)
  })

  test.each(['', '0x50', '65536'])('says in one line that "%s" is no port, and exits with 1', async (bad) => {
    const { code, stdout, stderr } = await runExample('hello', { PORT: bad })
    expect(stderr).toBe(
      `PORT is "${bad}"; it must be a whole number from 0 to 65535. 0 means any free port.\n`,
    )
    expect(stdout).toBe('')
    expect(code).toBe(1)
  })
})
