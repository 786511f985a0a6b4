/** The examples, tested as their users would: with the testing kit, over real sockets and without a sleep. */
import 'aftertask/testing/vitest'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterResponse } from 'aftertask/express'
import aftertask from 'aftertask/fastify'
import { createTestRuntime } from 'aftertask/testing'
import express from 'express'
import Fastify from 'fastify'
import { afterAll, expect, onTestFinished, test } from 'vitest'
import { reportFailure, sendWelcome as welcome } from '../../examples/frameworks/tasks.ts'
import { helloApp } from '../../examples/hello/app.ts'
import { slowBurn, slowSleep } from '../../examples/hello/tasks.ts'
import { listen } from '../kit/serve.ts'

const data = mkdtempSync(join(tmpdir(), 'aftertask-kit-'))
afterAll(() => rmSync(data, { recursive: true }))
// Read when the apps are imported.
process.env.SIGNUP_DATA = join(data, 'signup')
process.env.PHOTOS_DATA = join(data, 'photos')
const { signupApp } = await import('../../examples/signup/app.ts')
const { createProfile, notifyTeam, sendWelcome } = await import('../../examples/signup/tasks.ts')
const { photosApp } = await import('../../examples/photos/app.ts')
const { prepareFolders } = await import('../../examples/photos/folders.ts')
const { resizePhoto } = await import('../../examples/photos/tasks.ts')

const JSON_BODY = { 'content-type': 'application/json' }

/** Serves a Polka app; resolves to its address. */
async function serve({ handler }: { handler: unknown }): Promise<string> {
  return addressOf(createServer(handler as RequestListener))
}

async function addressOf(server: Server): Promise<string> {
  return `http://127.0.0.1:${await listen(server)}`
}

test('examples/hello adds a task to every route, with the status of its response', async () => {
  await using runtime = createTestRuntime({ tasks: [slowSleep, slowBurn], mode: 'manual' })
  const url = await serve(helloApp(runtime, 0))
  await (await fetch(`${url}/hello`)).text()
  expect(runtime).toHaveJob(slowSleep, { status: 200 })
  await (await fetch(`${url}/burn`)).text()
  expect(runtime).toHaveJob(slowBurn, { status: 200 })
  expect(await runtime.drain()).toMatchObject({ completed: runtime.added.length, dead: 0 })
})

test('examples/signup makes the profile, sends the mail and tells the team, in this order', async () => {
  await using runtime = createTestRuntime({ tasks: [createProfile, sendWelcome, notifyTeam], mode: 'manual' })
  const url = await serve(signupApp(runtime))
  const body = JSON.stringify({ name: 'Ada', email: 'ada@example.com' })
  const { status } = await fetch(`${url}/signup`, { method: 'POST', headers: JSON_BODY, body })
  expect(status).toBe(202)
  expect(runtime.added.map(({ name }) => name)).toEqual(['signup.profile', 'signup.welcome', 'signup.notify'])
  expect(runtime).toHaveJob(createProfile, { email: 'ada@example.com' })
  expect(await runtime.drain()).toMatchObject({ completed: 3 })
})

test('examples/signup skips the mail of a signup whose address is taken', async () => {
  await using runtime = createTestRuntime({ tasks: [createProfile, sendWelcome, notifyTeam], mode: 'manual' })
  const url = await serve(signupApp(runtime))
  for (const name of ['Bob', 'Bert']) {
    const body = JSON.stringify({ name, email: 'bob@example.com' })
    await (await fetch(`${url}/signup`, { method: 'POST', headers: JSON_BODY, body })).text()
  }
  expect(await runtime.drain({ throws: false })).toMatchObject({ completed: 3, dead: 1, skipped: 2 })
})

test('examples/photos answers an upload with the job that will resize it', async () => {
  await using runtime = createTestRuntime({
    tasks: [resizePhoto],
    mode: 'manual',
    handlers: { 'photo.resize': (payload) => ({ ...payload, width: 3, height: 2, sizes: [] }) },
  })
  await prepareFolders()
  const url = await serve(photosApp(runtime))
  const body = readFileSync(new URL('../../examples/photos/fixtures/dandelion.jpg', import.meta.url))
  const answer = await fetch(`${url}/photos`, {
    method: 'POST',
    headers: { 'content-type': 'image/jpeg' },
    body,
  })
  const { job, photo } = (await answer.json()) as { job: string; photo: string }
  expect(runtime).toHaveJob(resizePhoto, { photo })
  await runtime.drain()
  expect(await (await fetch(`${url}/jobs/${job}`)).json()).toMatchObject({
    state: 'completed',
    result: { width: 3 },
  })
})

test('an app on Express welcomes who has signed up, and no one whose address is none', async () => {
  await using runtime = createTestRuntime({ tasks: [welcome, reportFailure], mode: 'manual' })
  const jobs = afterResponse(runtime)
  const app = express().use(jobs, express.json())
  app.post(
    '/signup',
    (req, res) => void res.status(202).json({ job: req.after('email.welcome', req.body).id }),
  )
  app.use(jobs.onError())
  const url = await addressOf(createServer(app))
  const bad = await fetch(`${url}/signup`, { method: 'POST', headers: JSON_BODY, body: '{"to":"nobody"}' })
  expect(bad.status).toBe(400)
  expect(runtime).not.toHaveJob(welcome)
  await fetch(`${url}/signup`, { method: 'POST', headers: JSON_BODY, body: '{"to":"ada@example.com"}' })
  expect(runtime).toHaveJob(welcome, { to: 'ada@example.com' })
})

test('an app on Fastify reports what failed, once the response is over, without a socket', async () => {
  await using runtime = createTestRuntime({ tasks: [welcome, reportFailure], mode: 'manual' })
  const app = Fastify()
  onTestFinished(() => app.close())
  await app.register(aftertask, { runtime })
  app.get('/broken', async (request) => {
    request.after('failure.report', { url: request.url }, { when: 'error' })
    request.after('email.welcome', { to: 'ada@example.com' })
    throw new Error('broken')
  })
  expect((await app.inject('/broken')).statusCode).toBe(500)
  const { job } = await runtime.waitFor('email.welcome', { state: 'skipped' })
  expect(job.state).toBe('skipped')
  expect(await runtime.drain()).toMatchObject({ completed: 1 })
})
