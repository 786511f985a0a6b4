/** Drives examples/photos over HTTP, with a real photograph and with everything that is none. */
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import type { Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createRuntime } from 'aftertask'
import { decode } from 'jpeg-js'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { nextEvent } from '../kit/jobs.ts'
import { startExample } from './run-example.ts'

const data = mkdtempSync(join(tmpdir(), 'aftertask-photos-'))
// Read when the app is imported, and copied into its threads.
process.env.PHOTOS_DATA = data
const { photosApp } = await import('../../examples/photos/app.ts')
const { resizePhoto } = await import('../../examples/photos/tasks.ts')
const runtime = createRuntime({ tasks: [resizePhoto], maxPending: 100 })
const app = photosApp(runtime)
const { prepareFolders } = await import('../../examples/photos/folders.ts')

type Body = NonNullable<RequestInit['body']>
const photograph = readFileSync(new URL('../../examples/photos/fixtures/dandelion.jpg', import.meta.url))
const MB = 1024 * 1024
let url = ''

beforeAll(async () => {
  await prepareFolders()
  await runtime.ready()
  app.listen(0, '127.0.0.1')
  await once(app.server, 'listening')
  url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
  // With a listener, a dead job is no line on stderr.
  runtime.on('job:dead', () => {})
})

afterEach(() => {
  for (const folder of ['incoming', 'photos']) rmSync(join(data, folder), { recursive: true, force: true })
  return prepareFolders()
})

afterAll(async () => {
  app.server.close()
  ;(app.server as Server).closeAllConnections()
  await runtime.stop({ timeout: 0 })
  rmSync(data, { recursive: true, force: true })
})

function upload(body: Body, headers: Record<string, string> = {}): Promise<Response> {
  const init = { method: 'POST', body, headers: { 'content-type': 'image/jpeg', ...headers }, duplex: 'half' }
  return fetch(`${url}/photos`, init as RequestInit)
}

async function uploaded(body: Body): Promise<{ job: string; photo: string }> {
  const response = await upload(body)
  expect(response.status).toBe(202)
  return (await response.json()) as { job: string; photo: string }
}

/** What `GET /jobs/:id` says of a job that is over. */
async function settled(body: Body): Promise<Record<string, unknown>> {
  runtime.pause()
  const { job } = await uploaded(body)
  const over = Promise.race([
    nextEvent(runtime, 'job:completed', (event) => event.job.id === job),
    nextEvent(runtime, 'job:dead', (event) => event.job.id === job),
  ])
  runtime.resume()
  await over
  return (await (await fetch(`${url}/jobs/${job}`)).json()) as Record<string, unknown>
}

const incoming = (): string[] => readdirSync(join(data, 'incoming'))
const finished = (): string[] => readdirSync(join(data, 'photos'))

/** The photograph with another size in its header: small as a file, huge as a picture. */
function claiming(width: number, height: number): Buffer<ArrayBuffer> {
  const bytes = Buffer.from(photograph)
  const frame = bytes.indexOf(Buffer.from([0xff, 0xc0]))
  bytes.writeUInt16BE(height, frame + 5)
  bytes.writeUInt16BE(width, frame + 7)
  return bytes
}

describe('an upload of a photograph', () => {
  test('is answered with 202 and the place of its job before the photograph is resized', async () => {
    runtime.pause()
    const response = await upload(photograph)
    expect(response.status).toBe(202)
    const { job } = (await response.json()) as { job: string }
    expect(response.headers.get('location')).toBe(`/jobs/${job}`)
    const state = await (await fetch(`${url}/jobs/${job}`)).json()
    expect(state).toEqual({ id: job, state: 'available' })
    const over = nextEvent(runtime, 'job:completed')
    runtime.resume()
    await over
  })

  test('becomes three sizes and the original, each to be fetched', async () => {
    const { state, result } = await settled(photograph)
    expect(state).toBe('completed')
    const { width, height, sizes } = result as {
      width: number
      height: number
      sizes: { url: string; width: number; height: number; bytes: number }[]
    }
    expect([width, height]).toEqual([2400, 1350])
    expect(sizes.map((size) => [size.width, size.height])).toEqual([
      [1600, 900],
      [800, 450],
      [320, 180],
    ])
    for (const size of sizes) {
      const response = await fetch(url + size.url)
      expect(response.headers.get('content-type')).toBe('image/jpeg')
      const bytes = Buffer.from(await response.arrayBuffer())
      expect(bytes.length).toBe(size.bytes)
      expect(decode(bytes)).toMatchObject({ width: size.width, height: size.height })
    }
    const original = await fetch(url + (sizes[0]?.url ?? '').replace('large', 'original'))
    expect(Buffer.from(await original.arrayBuffer()).equals(photograph)).toBe(true)
    expect(incoming()).toEqual([])
  })

  test('looks like the photograph at every size: its mean colour stays', async () => {
    const { result } = await settled(photograph)
    const { sizes } = result as { sizes: { url: string }[] }
    const wanted = meanColour(photograph)
    for (const size of sizes) {
      const found = meanColour(Buffer.from(await (await fetch(url + size.url)).arrayBuffer()))
      found.forEach((value, channel) => {
        expect(Math.abs(value - (wanted[channel] ?? Number.NaN))).toBeLessThan(1)
      })
    }
  })

  test('tells its progress from decoding to the last size', async () => {
    const heard: unknown[] = []
    const listener = (event: { progress: unknown }): void => void heard.push(event.progress)
    runtime.on('job:progress', listener)
    const { progress } = await settled(photograph)
    runtime.off('job:progress', listener)
    expect(progress).toBe(1)
    expect(heard).toEqual([0.4, expect.closeTo(0.6), expect.closeTo(0.8), 1])
  })

  test('never gives a name of the client to the file system', async () => {
    runtime.pause()
    const headers = { 'content-disposition': 'attachment; filename="../../evil.jpg"', slug: '../evil.jpg' }
    const { photo } = (await (await upload(photograph, headers)).json()) as { photo: string }
    expect(readdirSync(data, { recursive: true }).sort()).toEqual([
      'incoming',
      `incoming/${photo}`,
      `incoming/${photo}/original.jpg`,
      'photos',
    ])
    for (const { id } of (await runtime.jobs({ state: 'available' })).jobs) await runtime.cancel(id)
    runtime.resume()
  })
})

describe('an upload that is no photograph', () => {
  const stream = (bytes: number): ReadableStream =>
    new ReadableStream({
      start(controller) {
        controller.enqueue(photograph.subarray(0, 1000))
        for (let sent = 1000; sent < bytes; sent += MB) controller.enqueue(new Uint8Array(MB))
        controller.close()
      },
    })

  test.each([
    ['is empty', '', {}, 400, 'The upload is empty.'],
    ['is text', 'Hello', {}, 415, 'The upload is not a JPEG photograph.'],
    ['is one byte long', photograph.subarray(0, 1), {}, 415, 'The upload is not a JPEG photograph.'],
    ['calls itself a PNG', photograph, { 'content-type': 'image/png' }, 415, 'Send a JPEG photograph'],
    [
      'says that it is too large',
      new Uint8Array(10 * MB + 1),
      {},
      413,
      'The photograph is larger than 10 MB.',
    ],
    ['turns out too large', stream(12 * MB), {}, 413, 'The photograph is larger than 10 MB.'],
  ] as [string, Body, Record<string, string>, number, string][])(
    'is refused and leaves nothing behind when it %s',
    async (_what, body, headers, status, message) => {
      const response = await upload(body, headers)
      expect(response.status).toBe(status)
      expect(((await response.json()) as { error: string }).error).toContain(message)
      expect(incoming()).toEqual([])
      expect(runtime.stats().pending).toBe(0)
    },
  )

  test.each([
    ['is truncated', photograph.subarray(0, 100_000), /truncated: the file ends before the picture does/],
    ['is cut off within its header', photograph.subarray(0, 300), /cannot be decoded/],
    ['is damaged', Buffer.concat([photograph.subarray(0, 3), Buffer.alloc(5000, 7)]), /cannot be decoded/],
    ['claims to be a huge picture', claiming(60_000, 60_000), /cannot be decoded: maxResolutionInMP limit/],
  ])('is a dead job with a reason, and leaves nothing behind, when it %s', async (_what, body, reason) => {
    const { state, error } = await settled(body)
    expect(state).toBe('dead')
    expect(error).toMatch(reason)
    expect(incoming()).toEqual([])
    expect(finished()).toEqual([])
  })

  test('leaves nothing behind when the client goes away half-way', async () => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    socket.write(
      'POST /photos HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/jpeg\r\ncontent-length: 200000\r\n\r\n',
    )
    socket.write(photograph.subarray(0, 100_000))
    await expect.poll(incoming).toHaveLength(1)
    socket.destroy()
    await expect.poll(incoming).toEqual([])
    expect(runtime.stats().pending).toBe(0)
  })

  test('leaves nothing behind when its job is cancelled before it runs', async () => {
    runtime.pause()
    const { job } = await uploaded(photograph)
    expect(incoming()).toHaveLength(1)
    await runtime.cancel(job)
    await expect.poll(incoming).toEqual([])
    runtime.resume()
  })

  test('is refused with 503 while too many wait, and leaves nothing behind', async () => {
    runtime.pause()
    const body = photograph.subarray(0, 4)
    const jobs = await Promise.all(Array.from({ length: 100 }, () => uploaded(body)))
    const response = await upload(body)
    expect(response.status).toBe(503)
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(incoming()).toHaveLength(100)
    for (const { job } of jobs) await runtime.cancel(job)
    await expect.poll(incoming).toEqual([])
    runtime.resume()
  })
})

describe('the photos server', () => {
  test.each([
    '/jobs/none',
    '/photos/none/small',
    '/photos/..%2f..%2f/small',
    '/photos/00000000-0000-4000-8000-000000000000/small',
    '/photos/00000000-0000-4000-8000-000000000000/..%2foriginal',
    '/nothing',
  ])('answers 404 to %s', async (path) => {
    expect((await fetch(url + path)).status).toBe(404)
  })

  test('finishes a photograph that it accepted before it ends', async () => {
    const photos = await startExample('photos', { PHOTOS_DATA: data })
    const response = await fetch(`${photos.url}/photos`, {
      method: 'POST',
      body: photograph,
      headers: { 'content-type': 'image/jpeg' },
    })
    const { photo } = (await response.json()) as { photo: string }
    expect(await photos.end('SIGTERM')).toBe(0)
    expect(finished()).toEqual([photo])
    expect(readdirSync(join(data, 'photos', photo)).sort()).toEqual([
      'large.jpg',
      'medium.jpg',
      'original.jpg',
      'small.jpg',
    ])
  })
})

function meanColour(jpeg: Buffer): number[] {
  const { width, height, data: pixels } = decode(jpeg, { useTArray: true })
  return [0, 1, 2].map((channel) => {
    let sum = 0
    for (let at = channel; at < pixels.length; at += 4) sum += pixels[at] ?? 0
    return sum / (width * height)
  })
}
