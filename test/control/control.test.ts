/** The control socket, over one runtime with the memory broker. */
import { once } from 'node:events'
import { existsSync, linkSync, lstatSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { OPERATIONS, PERMISSIONS } from '../../src/control/api.ts'
import { ControlClient } from '../../src/control/client.ts'
import type { EventSource } from '../../src/control/controlled.ts'
import { type ToldEvent, tellEvents } from '../../src/control/event-stream.ts'
import { engineOf, type Runtime } from '../../src/engine/runtime.ts'
import { gated, note } from '../fixtures/http-tasks.ts'
import { httpRuntime } from '../kit/jobs.ts'

// A socket's address has little room.
const folder = mkdtempSync(join(tmpdir(), 'at-control-'))
const path = join(folder, 'deep', 'c')
afterAll(() => rmSync(folder, { recursive: true }))
const runtime = httpRuntime({ control: path, pool: { threads: 1 } })
beforeAll(() => runtime.ready())

async function client(): Promise<ControlClient> {
  const made = await ControlClient.to(path)
  onTestFinished(() => made.close())
  return made
}

/** A raw connection, once the server has greeted it. */
async function rawClient(): Promise<Socket> {
  const socket = connect(path).setEncoding('utf8')
  onTestFinished(() => void socket.destroy())
  socket.on('error', () => {})
  await once(socket, 'data')
  return socket
}

async function refusal(runtimeOf: Runtime): Promise<unknown> {
  return runtimeOf.ready().then(
    () => undefined,
    (error: unknown) => Reflect.get(error as object, 'code'),
  )
}

describe('the control socket', () => {
  test('is for the owner alone, in a folder that is for the owner alone', () => {
    expect(lstatSync(path).mode & 0o777).toBe(0o600)
    expect(lstatSync(dirname(path)).mode & 0o777).toBe(0o700)
    expect(lstatSync(path).isSocket()).toBe(true)
  })

  test('is refused where a living process has one, and takes the place of one that a dead process has left', async () => {
    const second = httpRuntime({ control: path }, onTestFinished)
    expect(await refusal(second)).toBe('ERR_CONTROL_UNAVAILABLE')
    expect(await (await client()).ask('tasks')).toContain('note')
    const stale = join(folder, 'stale')
    // Node removes what it has bound; a hard link outlives it, as the socket of a killed process does.
    const dead = createServer().listen(join(folder, 'bound'))
    await once(dead, 'listening')
    linkSync(join(folder, 'bound'), stale)
    dead.close()
    await once(dead, 'close')
    const third = httpRuntime({ control: stale }, onTestFinished)
    await third.ready()
    const there = await ControlClient.to(stale)
    expect(there.pid).toBe(process.pid)
    there.close()
    await third.stop({ timeout: 0 })
    expect(existsSync(stale)).toBe(false)
  })

  test('is refused where a file stands, or a path is too long for a socket, and leaves the file alone', async () => {
    const file = join(folder, 'file')
    writeFileSync(file, 'mine')
    expect(await refusal(httpRuntime({ control: file }, onTestFinished))).toBe('ERR_CONTROL_UNAVAILABLE')
    expect(existsSync(file)).toBe(true)
    const long = httpRuntime({ control: join(folder, 'x'.repeat(120)) }, onTestFinished)
    expect(await refusal(long)).toBe('ERR_OPTIONS_INVALID')
  })

  test('is refused in a default folder that others may enter', async () => {
    const session = mkdtempSync(join(folder, 's'))
    mkdirSync(join(session, 'aftertask'), { mode: 0o755 })
    const before = process.env['XDG_RUNTIME_DIR']
    process.env['XDG_RUNTIME_DIR'] = session
    onTestFinished(() => {
      if (before === undefined) delete process.env['XDG_RUNTIME_DIR']
      else process.env['XDG_RUNTIME_DIR'] = before
    })
    expect(await refusal(httpRuntime({ control: true }, onTestFinished))).toBe('ERR_CONTROL_UNAVAILABLE')
  })
})

describe('the operations', () => {
  test('each take one of the permissions that there are', () => {
    for (const { permission } of Object.values(OPERATIONS)) expect(PERMISSIONS).toContain(permission)
  })

  test('answer with what the runtime answers, and refuse with its error', async () => {
    const asker = await client()
    const job = runtime.enqueue(note, { text: 'asked for' })
    await job.settled
    expect(await asker.ask('job', { id: job.id })).toMatchObject({ id: job.id, state: 'completed' })
    expect(await asker.ask('job', { id: 'nobody' })).toBeNull()
    await expect(asker.ask('jobs', { query: { state: 'nonsense' } })).rejects.toMatchObject({
      code: 'ERR_OPTIONS_INVALID',
    })
    await expect(asker.ask('cancel', {})).rejects.toMatchObject({ code: 'ERR_OPTIONS_INVALID' })
    await expect(asker.ask('constructor')).rejects.toMatchObject({ code: 'ERR_OPTIONS_INVALID' })
  })
})

describe('the events', () => {
  test('that fit are told while the jobs go on, without their results', async () => {
    const hearer = await client()
    const heard: ToldEvent[] = []
    const done = Promise.withResolvers<void>()
    await hearer.follow({ task: 'no*', events: ['job:enqueued', 'job:completed'] }, (event) => {
      heard.push(event)
      if (event.event === 'job:completed') done.resolve()
    })
    runtime.enqueue(gated, { channel: 'nobody opens it' }).cancel()
    runtime.enqueue(note, { text: 'heard' })
    await done.promise
    expect(heard.map(({ event }) => event)).toEqual(['job:enqueued', 'job:completed'])
    expect(Object.keys(heard[1] ?? {})).not.toContain('result')
  })

  test('that a slow reader cannot take are counted for it, and not kept', () => {
    const taken: ToldEvent[] = []
    let isFull = false
    const { events } = runtime[engineOf].announcer
    const watch: EventSource = (name, watcher) => events.watch(name, watcher)
    const sink = { hasRoom: () => !isFull, take: (event: ToldEvent) => void taken.push(event) }
    onTestFinished(tellEvents(watch, { events: ['job:cancelled'] }, sink))
    const cancelled = (): boolean => runtime.enqueue(gated, { channel: 'nobody opens it' }).cancel()
    cancelled()
    isFull = true
    for (let n = 0; n < 5; n++) cancelled()
    isFull = false
    cancelled()
    expect(taken.map(({ event, count }) => [event, count])).toEqual([
      ['job:cancelled', undefined],
      ['events:missed', 5],
      ['job:cancelled', undefined],
    ])
  })
})

describe('a hostile client', () => {
  test.each([
    ['what is no JSON', 'GET / HTTP/1.1\n'],
    ['JSON that is no request', '[1,2,3]\n'],
    ['a request of no operation', '{"id":1,"op":"__proto__"}\n'],
    ['arguments that are none', '{"id":{"a":1},"op":"jobs","args":"all"}\n'],
    ['bytes that are no text', Buffer.from([0xff, 0xfe, 0x00, 10])],
  ])('is told so, for %s', async (_what, sent) => {
    const raw = await rawClient()
    raw.write(sent)
    const [answer] = (await once(raw, 'data')) as [string]
    expect(JSON.parse(answer)).toMatchObject({ error: { code: 'ERR_OPTIONS_INVALID' } })
  })

  test('that sends a line without an end is let go of', async () => {
    const raw = await rawClient()
    const gone = new Promise((resolve) => raw.once('close', resolve))
    raw.write('x'.repeat(3 * 2 ** 20))
    raw.resume()
    await gone
    expect(await (await client()).ask('stats')).toMatchObject({ phase: 'running' })
  })

  test('is one of a hundred at most', async () => {
    const many: Socket[] = []
    for (;;) {
      const socket = connect(path).setEncoding('utf8')
      onTestFinished(() => void socket.destroy())
      many.push(socket)
      const [first] = (await once(socket, 'data')) as [string]
      if (first.includes('ERR_CONTROL_UNAVAILABLE')) break
      expect(many.length).toBeLessThan(102)
    }
    for (const socket of many) socket.destroy()
    await Promise.all(many.map((socket) => socket.closed || once(socket, 'close')))
  })
})
