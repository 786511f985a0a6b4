/**
 * Builds the apps of examples that need a build of their framework, as their users do, and drives each over real sockets: the
 * package as it is published, installed beside the framework in a temporary folder.
 *
 *   npm run test:frameworks                     all of them
 *   npm run test:frameworks -- next sveltekit   some of them
 *
 * Of each is asked that its job outlives the response, that a bad payload is refused, that a failing route is noticed, that the
 * job of a client that leaves runs, and that SIGTERM under load ends it with every job accounted for.
 */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const witnessModule = pathToFileURL(join(root, 'test/frameworks/witness.js')).href

/**
 * `tasks`: the folder that takes the tasks. `refused`, `broken`: the statuses of its answers. `exit`: its exit code. `env`: what its start script sets.
 * @type {Record<string, { build: string[], start: string[], tasks?: string, refused?: number, broken?: number, exit?: number, env?: Record<string, string> }>}
 */
const apps = {
  // They are in examples/next, examples/next-start, examples/nitro, examples/react-router and examples/sveltekit.
  next: { build: ['next/dist/bin/next', 'build'], start: ['server.js'] },
  'next-start': {
    build: ['next/dist/bin/next', 'build'],
    start: ['node_modules/next/dist/bin/next', 'start', '-H', '127.0.0.1'],
    tasks: 'jobs',
    refused: 202,
    // What Next.js ends with at SIGTERM, once what it waits for is over.
    exit: 143,
  },
  nitro: {
    build: ['nitro/dist/cli/index.mjs', 'build'],
    start: ['.output/server/index.mjs'],
    tasks: 'jobs',
    broken: 409,
    env: { HOST: '127.0.0.1' },
  },
  'react-router': { build: ['@react-router/dev/bin.cjs', 'build'], start: ['server.js'] },
  sveltekit: { build: ['vite/bin/vite.js', 'build'], start: ['server.js'] },
}

const JSON_BODY = { 'content-type': 'application/json' }
const BODY = '{"to":"a@b.dev"}'
const SIGNUP = `POST /signup HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`

const folder = mkdtempSync(join(tmpdir(), 'aftertask-frameworks-'))
const asked = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(apps)
const count = { passed: 0, failed: 0 }
try {
  run(root, 'npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', folder])
  for (const name of asked) await drive(name)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
console.log(`\n${count.passed} passed, ${count.failed} failed`)
process.exitCode = count.failed > 0 ? 1 : 0

/**
 * Builds an app, starts it, and asks it.
 * @param {string} name
 */
async function drive(name) {
  const app = apps[name]
  if (app === undefined) throw new RangeError(`${name}: expected one of ${Object.keys(apps).join(', ')}`)
  console.log(`\n== ${name}`)
  const place = join(folder, name)
  build(name, app, place)
  const witness = join(folder, `${name}.jobs`)
  writeFileSync(witness, '')
  const port = await freePort()
  const env = { ...process.env, ...app.env, PORT: String(port), WITNESS: witness, NODE_ENV: 'production' }
  const options = { cwd: place, env: { ...env, NODE_OPTIONS: `--import=${witnessModule}` } }
  const child = spawn(process.execPath, app.start, { ...options, stdio: ['ignore', 'inherit', 'inherit'] })
  const exited = once(child, 'exit')
  const url = `http://127.0.0.1:${port}`
  /** @param {string} to */
  const signup = (to) =>
    fetch(`${url}/signup`, { method: 'POST', headers: JSON_BODY, body: JSON.stringify({ to }) })
  /** @type {(what: string, more: number) => Promise<void>} */
  const told = async (what, more) => {
    for (let tries = 0; seen(witness, what) < more; tries++) {
      if (tries > 600) throw new Error(`never told: ${what}`)
      await setTimeout(50)
    }
  }
  try {
    while (child.exitCode === null && !(await isUp(url))) await setTimeout(100)
    await check('its job outlives the response', async () => {
      same((await signup('a@b.dev')).status, 202)
      await told('completed email.welcome', 1)
    })
    await check('a bad payload is refused, and it goes on', async () => {
      same((await signup('nobody')).status, app.refused ?? 400)
      same((await signup('a@b.dev')).status, 202)
      await told('completed email.welcome', 2)
    })
    await check('a failing route is noticed', async () => {
      same((await fetch(`${url}/broken`)).status, app.broken ?? 500)
      await told('completed failure.report', 1)
    })
    await check('the job of a client that leaves runs', async () => {
      const socket = connect(port, '127.0.0.1')
      socket.on('error', () => {})
      socket.write(SIGNUP)
      await told('enqueued email.welcome', 3)
      socket.destroy()
      await told('completed email.welcome', 3)
    })
    await check('SIGTERM under load ends it with every job accounted for', async () => {
      for (let client = 0; client < 8; client++) ask(port)
      await told('enqueued email.welcome', 43)
      child.kill('SIGTERM')
      const [code, signal] = await exited
      const { accepted, faults } = accounts(witness)
      console.log(`    ${accepted} jobs, exit ${code ?? signal}`)
      same(faults.join('; '), '')
      same(code, app.exit ?? 0)
    })
  } finally {
    child.kill('SIGKILL')
    await exited
  }
}

/**
 * @param {string} name
 * @param {{ build: string[], tasks?: string }} app
 * @param {string} place
 */
function build(name, app, place) {
  const examples = join(root, 'examples')
  cpSync(join(examples, name), place, { recursive: true })
  cpSync(join(examples, 'frameworks/tasks.ts'), join(place, app.tasks ?? '.', 'tasks.ts'))
  cpSync(join(examples, 'frameworks/workers'), join(place, app.tasks ?? '.', 'workers'), { recursive: true })
  const [packed = ''] = readdirSync(folder).filter((file) => file.endsWith('.tgz'))
  run(place, 'npm', ['install', '--no-audit', '--no-fund', '--loglevel=error', join(folder, packed)])
  const [script = '', ...args] = app.build
  run(place, process.execPath, [join('node_modules', script), ...args])
}

/**
 * @param {string} what
 * @param {() => Promise<void>} question
 */
async function check(what, question) {
  try {
    await question()
    count.passed++
    console.log(`  passed: ${what}`)
  } catch (error) {
    count.failed++
    console.log(`  FAILED: ${what}: ${error}`)
  }
}

/**
 * @param {unknown} found
 * @param {unknown} expected
 */
function same(found, expected) {
  if (found !== expected) throw new Error(`${found}, and not ${expected}`)
}

/**
 * Asks again and again until the server is gone.
 * @param {number} port
 */
function ask(port) {
  const socket = connect(port, '127.0.0.1')
  const again = () => void socket.write(SIGNUP)
  socket.on('connect', again).on('data', again)
  socket.on('error', () => {})
}

/**
 * How often a witness has told this, such as `completed email.welcome`.
 * @param {string} witness
 * @param {string} what
 */
function seen(witness, what) {
  const [event = '', name = ''] = what.split(' ')
  return linesOf(witness).filter((line) => line.startsWith(`${event} `) && line.endsWith(` ${name}`)).length
}

/**
 * Jobs that were accepted and have no end, or more than one, or were lost.
 * @param {string} witness
 */
function accounts(witness) {
  /** @type {Map<string, string[]>} */
  const ends = new Map()
  for (const line of linesOf(witness)) {
    const [what = '', id = ''] = line.split(' ')
    if (what === 'enqueued') ends.set(id, [])
    else ends.get(id)?.push(what)
  }
  const faults = [...ends].filter(([, how]) => how.length !== 1 || how[0] === 'lost').map(String)
  return { accepted: ends.size, faults }
}

/** @param {string} witness */
function linesOf(witness) {
  return readFileSync(witness, 'utf8').split('\n').filter(Boolean)
}

/** @param {string} url */
function isUp(url) {
  return fetch(url).then(
    () => true,
    () => false,
  )
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
  await once(server.close(), 'close')
  return port
}

/**
 * @param {string} cwd
 * @param {string} command
 * @param {string[]} args
 */
function run(cwd, command, args) {
  const { status } = spawnSync(command, args, { cwd, stdio: ['ignore', 'inherit', 'inherit'] })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: exit code ${status}`)
}
