import { type ChildProcess, fork, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { connect as connectHttp2, createServer as createHttp2Server } from 'node:http2'
import { createServer as createHttpsServer } from 'node:https'
import { type AddressInfo, connect } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { describe, expect, onTestFinished, test } from 'vitest'
import { realPorts } from '../../src/engine/ports.ts'
import { Runtime } from '../../src/engine/runtime.ts'
import { afterResponse } from '../../src/http/index.ts'
import {
  type AnyRuntime,
  createRuntime,
  memoryBroker,
  OptionsInvalidError,
  type Shutdown,
  type ShutdownOptions,
  shutdown,
} from '../../src/index.ts'
import type { AnyTask } from '../../src/rules/task.ts'
import { httpTasks, note } from '../fixtures/http-tasks.ts'
import { blockingPipe } from '../kit/blocking-pipe.ts'
import { gate, handOver, httpRuntime, nextEvent } from '../kit/jobs.ts'
import { LeapingClock } from '../kit/leaping-clock.ts'
import { get, getBytes, listen, rawClient } from '../kit/serve.ts'
import { tempFolder } from '../kit/temp-folder.ts'

const folder = tempFolder('shutdown')

interface Child {
  readonly process: ChildProcess
  readonly port: number
  /** The next message that fits, those that have already come included. */
  told(fits: (message: unknown) => boolean): Promise<unknown>
  /** Resolves to how it ended. */
  readonly ended: Promise<{ code: number | null; signal: string | null; stdout: string; stderr: string }>
  /** Resolves once it has written this to stderr. */
  said(part: string): Promise<void>
}

/** `clock`: one that stands still passes only with the numbers that are sent to the process. */
async function serverProcess(
  options: ShutdownOptions = {},
  clock: 'runs' | 'still' = 'runs',
): Promise<Child> {
  const child = fork(
    new URL('./fixtures/shutdown-server.fixture.ts', import.meta.url),
    [JSON.stringify(options), clock],
    {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    },
  )
  onTestFinished(() => void child.kill('SIGKILL'))
  let [stdout, stderr] = ['', '']
  const sayings = new Set<() => void>()
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
    for (const look of sayings) look()
  })
  const said: Child['said'] = (part) => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const look = (): void => {
      if (stderr.includes(part)) resolve()
    }
    sayings.add(look)
    look()
    return promise
  }
  const messages: unknown[] = []
  const looks = new Set<() => void>()
  child.on('message', (message) => {
    messages.push(message)
    for (const look of looks) look()
  })
  const told: Child['told'] = (fits) => {
    const { promise, resolve } = Promise.withResolvers<unknown>()
    const look = (): void => {
      const found = messages.find(fits)
      if (found !== undefined) resolve(found)
    }
    looks.add(look)
    look()
    return promise
  }
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal, stdout, stderr }))
  const { port } = (await told((message) => has(message, 'port'))) as { port: number }
  return { process: child, port, told, said, ended }
}

/** One that has a job which does not end. */
async function stuckProcess(options?: ShutdownOptions, clock?: 'still'): Promise<Child> {
  const child = await serverProcess(options, clock)
  await (await get(child.port, '/stuck', { headers: { connection: 'close' } })).text()
  await child.told((message) => message === 'started')
  return child
}

/** Resolves once it has an idle connection, to a promise that resolves once it has been told to end and closes that one. */
async function shutdownOf({ port }: Child): Promise<{ begun: Promise<unknown> }> {
  const idle = await rawClient(port)
  const begun = once(idle.socket, 'close')
  idle.send(getBytes('/'))
  await idle.received('answer')
  return { begun }
}

function has(message: unknown, key: string): boolean {
  return typeof message === 'object' && message !== null && key in message
}

describe('a server process that is told to end', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)(
    'by %s, with nothing to do, exits with 0 and says nothing',
    async (signal) => {
      const child = await serverProcess()
      const idle = await rawClient(child.port)
      idle.send(getBytes('/'))
      await idle.received('answer')
      child.process.kill(signal)
      // The idle keep-alive connection is closed, or the process would wait for it.
      expect(await child.ended).toMatchObject({ code: 0, signal: null, stderr: '' })
    },
  )

  test('lets an open response finish and add a job, which runs, and takes no new connection meanwhile', async () => {
    const child = await serverProcess({}, 'still')
    const client = await rawClient(child.port)
    const { begun } = await shutdownOf(child)
    client.send(getBytes('/open'))
    await client.received('first part')
    child.process.kill('SIGTERM')
    await begun
    const refused = connect(child.port, '127.0.0.1')
    expect(await once(refused, 'connect').catch((error: NodeJS.ErrnoException) => error.code)).toBe(
      'ECONNREFUSED',
    )
    child.process.send(2000)
    await child.said('SIGTERM: waiting up to 10 s for 1 open response; again to stop at once\n')
    child.process.send('finish the open response')
    await client.received('last part')
    expect(await child.told((message) => has(message, 'job'))).toEqual({ job: 'completed' })
    expect(await child.ended).toMatchObject({ code: 0, signal: null })
  })

  test('past its deadline exits with 1 and says by name what was lost', async () => {
    const child = await serverProcess({ timeout: 40 })
    await (await get(child.port, '/stuck', { headers: { connection: 'close' } })).text()
    await child.told((message) => message === 'started')
    child.process.kill('SIGTERM')
    const { code, stderr } = await child.ended
    expect(code).toBe(1)
    expect(stderr).toMatch(/shutdown after SIGTERM: 1 job did not finish and is lost: gated x 1 \(\S+\)\n/)
  })

  test('cuts off a response that does not end, so that there is time for its jobs', async () => {
    const child = await serverProcess({ timeout: 4000 }, 'still')
    const { begun } = await shutdownOf(child)
    const client = await rawClient(child.port)
    client.send(getBytes('/open'))
    await client.received('first part')
    const closed = once(client.socket, 'close')
    child.process.kill('SIGTERM')
    await begun
    child.process.send(3000)
    await closed
    const { code, stderr } = await child.ended
    expect(code).toBe(0)
    expect(stderr).toContain('1 connection was still open and cut off')
  })

  test('by a second signal, half a second later, stops at once', async () => {
    const child = await stuckProcess({ timeout: 3_600_000 }, 'still')
    child.process.kill('SIGTERM')
    await child.told((message) => message === 'stopping')
    child.process.send(600)
    await child.told((message) => message === 'leapt')
    child.process.kill('SIGTERM')
    const { code, stderr } = await child.ended
    expect(code).toBe(1)
    expect(stderr).toContain('gated x 1')
  })

  test.each([
    ['SIGINT', 'SIGINT'],
    ['SIGINT', 'SIGTERM'],
    ['SIGINT', 'SIGINT', 'SIGINT', 'SIGTERM'],
  ] as const)('takes the signals of one Ctrl+C for one request: %s', async (...signals) => {
    const child = await serverProcess({}, 'still')
    const { begun } = await shutdownOf(child)
    const client = await rawClient(child.port)
    client.send(getBytes('/open'))
    await client.received('first part')
    for (const signal of signals) child.process.kill(signal)
    // The others were sent right behind the first.
    await begun
    child.process.send('finish the open response')
    await client.received('last part')
    expect(await child.told((message) => has(message, 'job'))).toEqual({ job: 'completed' })
    expect(await child.ended).toMatchObject({ code: 0, signal: null })
  })

  test('by a third signal dies of it, as any process does', async () => {
    // Only the channel to this process keeps it alive after the second.
    const child = await stuckProcess({ timeout: 3_600_000, exit: false }, 'still')
    child.process.kill('SIGTERM')
    await child.told((message) => message === 'stopping')
    child.process.send(600)
    await child.told((message) => message === 'leapt')
    child.process.kill('SIGTERM')
    await child.told((message) => has(message, 'report'))
    child.process.send(600)
    await child.told((message) => message === 'leapt again')
    child.process.kill('SIGTERM')
    expect(await child.ended).toMatchObject({ code: null, signal: 'SIGTERM' })
  })

  test('says what it waits for', async () => {
    const child = await stuckProcess()
    child.process.kill('SIGINT')
    await child.said('SIGINT: waiting up to 10 s for 1 job (gated); again to stop at once\n')
  })

  const hasScript = spawnSync('script', ['--version']).error === undefined
  test.skipIf(!hasScript)(
    'says at Ctrl+C in a terminal what it waits for, and ends at once at the next',
    async () => {
      const fixture = fileURLToPath(new URL('./fixtures/shutdown-server.fixture.ts', import.meta.url))
      const terminal = spawn('script', ['-qefc', `${process.execPath} ${fixture}`, '/dev/null'], {
        stdio: ['pipe', 'pipe', 'inherit'],
      })
      onTestFinished(() => void terminal.kill())
      const closed = once(terminal, 'close')
      let shown = ''
      const shows = async (pattern: RegExp): Promise<RegExpExecArray> => {
        for (;;) {
          const found = pattern.exec(shown)
          if (found !== null) return found
          shown += String((await once(terminal.stdout, 'data'))[0])
        }
      }
      const [, port] = await shows(/port (\d+)/)
      await (await get(Number(port), '/stuck', { headers: { connection: 'close' } })).text()
      terminal.stdin.write('\u0003')
      await shows(/aftertask: SIGINT: waiting up to 10 s for 1 job \(gated\); again to stop at once/)
      // Whoever sees that presses again, until something happens.
      const again = setInterval(() => terminal.stdin.write('\u0003'), 100)
      onTestFinished(() => clearInterval(again))
      await shows(/1 job did not finish and is lost: gated x 1/)
      clearInterval(again)
      await closed
    },
  )

  test('is gone past its deadline also when a handler sits in native code, with its report, exit code and exit listeners', async () => {
    const child = await serverProcess({ timeout: 40 })
    const pipe = blockingPipe(folder.newFile())
    await (await get(child.port, `/native?pipe=${pipe}`, { headers: { connection: 'close' } })).text()
    await child.told((message) => message === 'started')
    child.process.kill('SIGTERM')
    // process.exit() would wait for the thread, and so for ever.
    const { code, signal, stdout, stderr } = await child.ended
    expect([code, signal]).toEqual([1, null])
    expect(stderr).toMatch(/1 job did not finish and is lost: stuck x 1/)
    expect(stdout).toBe('exit listeners ran with 1\n')
  })

  test('does not wait for a connection that has sent half a request', async () => {
    const child = await serverProcess({ timeout: 3_600_000 })
    const slow = await rawClient(child.port)
    slow.send('GET / HTTP/1.1\r\nHo')
    // Once another is answered, that much has arrived.
    await (await get(child.port, '/', { headers: { connection: 'close' } })).text()
    child.process.kill('SIGTERM')
    expect(await child.ended).toMatchObject({ code: 0, stderr: '' })
  })

  test('with exit: false leaves the end to the program, and done tells how it went', async () => {
    const child = await serverProcess({ exit: false })
    child.process.kill('SIGTERM')
    expect(await child.told((message) => has(message, 'report'))).toEqual({
      report: { exitCode: 0, signal: 'SIGTERM', cut: 0 },
    })
    // Only the channel to this process keeps it alive now.
    expect(child.process.exitCode).toBeNull()
    const exited = once(child.process, 'exit')
    child.process.disconnect()
    expect(await exited).toEqual([0, null])
  })
})

describe('shutdown', () => {
  function ready(
    server: Parameters<typeof shutdown>[0],
    runtime: AnyRuntime = httpRuntime({}, onTestFinished),
  ): Shutdown {
    const stopping = shutdown(server, runtime, { timeout: 3_600_000 })
    onTestFinished(() => stopping.remove())
    return stopping
  }

  test.each([
    [{ timeot: 5 }, 'Did you mean "timeout"?'],
    [{ timeout: -1 }, 'option "timeout" is -1; expected milliseconds, 0 or more'],
    [{ signals: ['TERM'] }, 'option "signals.0" is "TERM"; expected a signal that a process can hear'],
    [{ signals: ['SIGFOO'] }, 'option "signals.0" is "SIGFOO"'],
    [{ signals: ['SIGTERM', 'SIGKILL'] }, 'option "signals.1" is "SIGKILL"'],
    [{ exit: 'yes' }, 'option "exit" is "yes"; expected true or false'],
    [null, 'the options'],
  ])('refuses the options %j', (options, message) => {
    const runtime = httpRuntime({}, onTestFinished)
    expect(() => shutdown(createServer(), runtime, options as never)).toThrow(message)
  })

  test('refuses what is no server, and says when Polka has one', () => {
    const runtime = httpRuntime({}, onTestFinished)
    expect(() => shutdown(undefined as never, runtime)).toThrow(OptionsInvalidError)
    expect(() => shutdown(undefined as never, runtime)).toThrow('after app.listen()')
  })

  test('refuses what is no runtime, and names the call', () => {
    expect(() => shutdown(createServer(), {} as never)).toThrow(OptionsInvalidError)
    expect(() => shutdown(createServer(), undefined as never)).toThrow(
      /runtime is undefined.*shutdown\(server, runtime\)/,
    )
  })

  test.each([[{ timeout: 'soon' }], [{ timeout: -1 }], [{ timeot: 1 }], [null]])(
    'refuses to begin with %j, and does not begin',
    async (options) => {
      const runtime = httpRuntime({}, onTestFinished)
      const stopping = ready(createServer(), runtime)
      await expect(stopping.begin(options as never)).rejects.toMatchObject({ code: 'ERR_OPTIONS_INVALID' })
      expect(runtime.stats().phase).toBe('running')
    },
  )

  test('listens for its signals until it is removed', () => {
    const before = process.listenerCount('SIGTERM')
    const stopping = ready(createServer())
    expect(process.listenerCount('SIGTERM')).toBe(before + 1)
    stopping.remove()
    expect(process.listenerCount('SIGTERM')).toBe(before)
  })

  test('begins when the program says so, and leaves the process alone', async () => {
    const server = createServer((_req, res) => void res.end('answer'))
    const stopping = ready(server)
    await get(await listen(server))
    const report = await stopping.begin()
    expect(report).toMatchObject({ lost: [], left: [], cut: 0, signal: null, exitCode: 0 })
    expect(server.listening).toBe(false)
    expect(process.exitCode).toBeUndefined()
    expect(await stopping.done).toBe(report)
  })

  test('can be hurried, never put off', async () => {
    const runtime = httpRuntime({}, onTestFinished)
    const server = createServer()
    const stopping = ready(server, runtime)
    await listen(server)
    const job = runtime.enqueue('gated', { channel: gate().channel })
    await nextEvent(runtime, 'job:progress')
    void stopping.begin({ timeout: 3_600_000 })
    void stopping.begin({ timeout: Number.MAX_SAFE_INTEGER })
    const { lost, exitCode } = await stopping.begin({ timeout: 0 })
    expect(lost).toEqual([{ id: job.id, name: 'gated' }])
    expect(exitCode).toBe(1)
  })

  test('rejects with what went wrong when the runtime cannot be closed', async () => {
    const broker = memoryBroker()
    const close = broker.close.bind(broker)
    broker.close = async () => {
      await close()
      throw new Error('the disk is gone')
    }
    const server = createServer()
    const runtime = createRuntime({ tasks: httpTasks, pool: { threads: 1 }, broker })
    const stopping = ready(server, runtime)
    await listen(server)
    await expect(stopping.begin()).rejects.toThrow('the disk is gone')
    await expect(stopping.done).rejects.toThrow('the disk is gone')
  })

  test('does not cut off a body that is on its way to a slow client', async () => {
    const size = 20_000_000
    const server = createServer((_req, res) => void res.end(Buffer.alloc(size)))
    const stopping = ready(server)
    const client = connect(await listen(server), '127.0.0.1')
    onTestFinished(() => void client.destroy())
    let received = 0
    client.write(getBytes('/'))
    await once(client, 'readable')
    const report = stopping.begin()
    client.on('data', (chunk: Buffer) => {
      received += chunk.length
    })
    await once(client, 'close')
    expect(received).toBeGreaterThan(size)
    expect((await report).cut).toBe(0)
  })

  test('tells a client that still asks on an open connection that this was the last answer', async () => {
    const first = handOver()
    const finish = Promise.withResolvers<void>()
    const runtime = httpRuntime({}, onTestFinished)
    const tasks = afterResponse(runtime)
    const server = createServer((req, res) =>
      tasks(req, res, async () => {
        if (req.url === '/first') {
          res.write('first ')
          first.give(req.after(note, { text: 'first' }))
          await finish.promise
        }
        res.end(req.url)
      }),
    )
    const stopping = ready(server, runtime)
    const client = await rawClient(await listen(server))
    client.send(getBytes('/first'))
    const job = await first.job
    const report = stopping.begin()
    // Pipelined behind the response that is open.
    const asked = once(server, 'request')
    client.send(getBytes('/second'))
    await asked
    finish.resolve()
    await client.received('/second')
    expect(client.text()).toMatch(/connection: close[\s\S]*\/second/i)
    await once(client.socket, 'close')
    expect(await report).toMatchObject({ completed: 1, lost: [], cut: 0 })
    expect(job.state).toBe('completed')
  })

  test('lets the open streams of an HTTP/2 session finish', async () => {
    const opened = Promise.withResolvers<void>()
    const finish = Promise.withResolvers<void>()
    const server = createHttp2Server(async (_req, res) => {
      res.write('first ')
      opened.resolve()
      await finish.promise
      res.end('last')
    })
    const stopping = ready(server)
    const session = connectHttp2(`http://127.0.0.1:${await listen(server)}`)
    onTestFinished(() => void session.destroy())
    const idle = connectHttp2(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    onTestFinished(() => void idle.destroy())
    await once(idle, 'connect')
    const stream = session.request({ ':path': '/' })
    await opened.promise
    const report = stopping.begin()
    finish.resolve()
    let body = ''
    for await (const chunk of stream.setEncoding('utf8')) body += chunk
    expect(body).toBe('first last')
    expect((await report).cut).toBe(0)
  })

  test('closes an HTTPS server, idle connections included', async () => {
    const key = Buffer.alloc(16, 1)
    const tls = { ciphers: 'PSK-AES128-GCM-SHA256', maxVersion: 'TLSv1.2' } as const
    const server = createHttpsServer(
      { ...tls, pskCallback: () => key },
      (_req, res) => void res.end('answer'),
    )
    const stopping = ready(server)
    const client = connectTls({
      ...tls,
      port: await listen(server),
      host: '127.0.0.1',
      pskCallback: () => ({ psk: key, identity: 'test' }),
      checkServerIdentity: () => undefined,
    })
    onTestFinished(() => void client.destroy())
    client.write(getBytes('/'))
    await once(client, 'data')
    client.resume()
    const closed = once(client, 'close')
    expect((await stopping.begin()).cut).toBe(0)
    await closed
  })

  test('does not wait for a connection that never finishes its TLS handshake', async () => {
    const server = createHttpsServer({ ciphers: 'PSK-AES128-GCM-SHA256', maxVersion: 'TLSv1.2' })
    const stopping = ready(server)
    const accepted = once(server, 'connection')
    const silent = await rawClient(await listen(server))
    await accepted
    const closed = once(silent.socket, 'close')
    expect((await stopping.begin({ timeout: 400_000 })).cut).toBe(0)
    await closed
  })

  test('leaves a connection that was upgraded the time that responses have', async () => {
    const server = createServer()
    server.on('upgrade', (_req, socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n')
      socket.on('data', (data: Buffer) => (data.includes('bye') ? socket.end() : socket.write(data)))
    })
    const clock = new LeapingClock()
    const runtime = new Runtime<AnyTask>({ tasks: httpTasks, pool: { threads: 1 } }, { ...realPorts, clock })
    onTestFinished(async () => void (await runtime.stop({ timeout: 0 })))
    const stopping = ready(server, runtime)
    const client = await rawClient(await listen(server))
    client.send('GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n')
    await client.received('101')
    const report = stopping.begin({ timeout: 60_000 })
    clock.leap(5000)
    client.send('still there')
    await client.received('still there')
    client.send('bye')
    expect((await report).cut).toBe(0)
  })
})
