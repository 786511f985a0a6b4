/** Drives examples/signup over HTTP, and reads what its handlers wrote. */
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createRuntime } from 'aftertask'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { nextEvent } from '../kit/jobs.ts'
import { startExample } from './run-example.ts'

const data = mkdtempSync(join(tmpdir(), 'aftertask-signup-'))
// Read when the app is imported, and copied into its threads.
process.env.SIGNUP_DATA = data
const { signupApp } = await import('../../examples/signup/app.ts')
const { createProfile, notifyTeam, sendWelcome } = await import('../../examples/signup/tasks.ts')
const runtime = createRuntime({ tasks: [createProfile, sendWelcome, notifyTeam] })
const app = signupApp(runtime)

let url = ''

beforeAll(async () => {
  await runtime.ready()
  app.listen(0, '127.0.0.1')
  await once(app.server, 'listening')
  url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
  // With a listener, a dead job is no line on stderr.
  runtime.on('job:dead', () => {})
})

afterAll(async () => {
  app.server.close()
  ;(app.server as Server).closeAllConnections()
  await runtime.stop({ timeout: 0 })
  rmSync(data, { recursive: true, force: true })
})

interface Accepted {
  readonly user: string
  readonly jobs: readonly { readonly id: string; readonly name: string }[]
}

const post = (body: unknown, at = url): Promise<Response> =>
  fetch(`${at}/signup`, { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body) })

async function accepted(body: unknown): Promise<Accepted> {
  const response = await post(body)
  expect(response.status).toBe(202)
  return (await response.json()) as Accepted
}

async function jobs({ jobs: of }: Accepted): Promise<Record<string, unknown>[]> {
  const answers = await Promise.all(of.map(({ id }) => fetch(`${url}/jobs/${id}`)))
  return (await Promise.all(answers.map((answer) => answer.json()))) as Record<string, unknown>[]
}

function lines(file: string): Record<string, unknown>[] {
  const path = join(data, `${file}.jsonl`)
  if (!existsSync(path)) return []
  return readFileSync(path, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}

describe('a signup', () => {
  test('is answered with its jobs, which make the profile, send the mail and tell the team, in that order', async () => {
    const ended: string[] = []
    const listener = ({ job }: { job: { name: string } }): void => void ended.push(job.name)
    runtime.on('job:completed', listener)
    const last = nextEvent(runtime, 'job:completed', ({ job }) => job.name === 'signup.notify')
    const answer = await accepted({ name: ' Ada ', email: 'Ada@Example.com' })
    expect(answer.jobs.map(({ name }) => name)).toEqual(['signup.profile', 'signup.welcome', 'signup.notify'])
    await last
    runtime.off('job:completed', listener)
    expect(ended).toEqual(['signup.profile', 'signup.welcome', 'signup.notify'])
    expect(JSON.parse(readFileSync(join(data, 'profiles', `${answer.user}.json`), 'utf8'))).toEqual({
      user: answer.user,
      name: 'Ada',
      email: 'ada@example.com',
    })
    expect(lines('outbox')).toEqual([
      expect.objectContaining({ to: 'ada@example.com', subject: 'Welcome, Ada!' }),
    ])
    expect(lines('team')).toEqual([expect.objectContaining({ text: 'Ada has joined.' })])
    const [profile, welcome, notify] = await jobs(answer)
    expect(profile).toMatchObject({ name: 'signup.profile', state: 'completed' })
    expect(welcome).toMatchObject({ state: 'completed', result: { mail: lines('outbox')[0]?.mail } })
    expect(notify).toMatchObject({ state: 'completed' })
  })

  test('with an address that is taken ends with its first job, and sends no mail', async () => {
    const first = nextEvent(runtime, 'job:completed', ({ job }) => job.name === 'signup.notify')
    await accepted({ name: 'Bob', email: 'bob@example.com' })
    await first
    const mails = lines('outbox').length
    const skipped = nextEvent(runtime, 'job:skipped', ({ job }) => job.name === 'signup.notify')
    const answer = await accepted({ name: 'Bobby', email: 'BOB@example.com' })
    await skipped
    const [profile, welcome, notify] = await jobs(answer)
    expect(profile).toMatchObject({ state: 'dead', error: 'This email address is taken.' })
    expect(welcome).toMatchObject({ state: 'skipped', reason: 'an earlier job of its batch failed' })
    expect(notify).toMatchObject({ state: 'skipped' })
    expect(lines('outbox')).toHaveLength(mails)
  })

  test('tries a mail again that could not be sent, and tells the team after it', async () => {
    rmSync(join(data, 'outbox.jsonl'), { force: true })
    mkdirSync(join(data, 'outbox.jsonl'))
    const retrying = nextEvent(runtime, 'job:retrying')
    const last = nextEvent(runtime, 'job:completed', ({ job }) => job.name === 'signup.notify')
    const answer = await accepted({ name: 'Cleo', email: 'cleo@example.com' })
    const failure = await retrying
    expect(failure.error.message).toContain('EISDIR')
    expect(failure.job).toMatchObject({ name: 'signup.welcome', attempt: 1 })
    expect((await jobs(answer)).map(({ state }) => state)).toEqual(['completed', 'retryable', 'waiting'])
    rmdirSync(join(data, 'outbox.jsonl'))
    await last
    expect(lines('outbox')).toEqual([expect.objectContaining({ to: 'cleo@example.com' })])
  })

  test('that is not valid is answered with 400 and the issues, and adds no job', async () => {
    const response = await post({ name: '', email: 'ada', admin: true })
    expect(response.status).toBe(400)
    const { issues } = (await response.json()) as { issues: { path: string[]; code: string }[] }
    expect(issues.map(({ path, code }) => [path.join('.'), code])).toEqual([
      ['name', 'too_small'],
      ['email', 'invalid_format'],
      ['', 'unrecognized_keys'],
    ])
    expect(runtime.stats().pending).toBe(0)
  })

  test.each([
    ['is no JSON', '{ "name": ', 400, 'The body is not JSON'],
    ['is empty', '', 400, 'The body is not JSON'],
    ['is too large', 'x'.repeat(100_001), 413, 'The body is larger than 100000 bytes.'],
  ])('whose body %s is refused, and adds no job', async (_what, body, status, message) => {
    const response = await post(body)
    expect(response.status).toBe(status)
    expect(((await response.json()) as { error: string }).error).toContain(message)
    expect(runtime.stats().pending).toBe(0)
  })

  test('never gives its address to the file system', async () => {
    const last = nextEvent(runtime, 'job:completed', ({ job }) => job.name === 'signup.notify')
    await accepted({ name: '../../evil', email: 'evil.json@example.com' })
    await last
    const names = readdirSync(data, { recursive: true }).join('\n')
    expect(names).not.toContain('evil')
  })
})

describe('the signup server', () => {
  test.each(['/jobs/none', '/nothing'])('answers 404 to %s', async (path) => {
    expect((await fetch(url + path)).status).toBe(404)
  })

  test('finishes the three jobs of a signup before it ends', async () => {
    const signup = await startExample('signup', { SIGNUP_DATA: data })
    expect((await post({ name: 'Dora', email: 'dora@example.com' }, signup.url)).status).toBe(202)
    expect(await signup.end('SIGTERM')).toBe(0)
    expect(lines('team').at(-1)).toMatchObject({ text: 'Dora has joined.' })
  })
})
