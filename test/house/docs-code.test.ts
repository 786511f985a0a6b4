/**
 * Every fenced code block of the documents is executed. For whoever writes them:
 *
 * ts, js: the HTML comment above the fence says how the block is executed.
 *   <!-- file: examples/hello/server.ts -->       the block is that whole file, word for word
 *   <!-- file: docs/examples/retry.ts#policy -->  it is the part between `// #region policy` and `// #endregion policy`
 *   <!-- run -->                                  it is a whole program: it is type-checked, run, and must exit with 0
 *   A file under examples/NAME/ must be executed by a test, or by scripts/test-frameworks.js, that mentions `examples/NAME`. A file under
 *   docs/examples/ is executed by this test: docs/examples/x.ts is a program, docs/examples/x/ is one program whose
 *   entry is main.ts. Each must exit with 0; where x.out (or x/main.out) stands beside it, that is its output.
 *
 * bash, sh: each line must be of a kind that `allowed` below knows how to vouch for. A block with curl needs
 *   <!-- server: examples/hello -->               that server is started, and the block's curl lines are run against it
 *   Write the server's address as localhost:3000: the test puts its own port there.
 *
 * text after <!-- output --> right below a block that is run: what it prints; `...` stands for anything.
 * json must parse. Other text, mermaid: not code. Every other language, and a block of none, is refused.
 */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { freePort } from '../kit/free-port.ts'
import { type CodeBlock, codeBlocks, commands, matchesShown, region } from './code-blocks.ts'
import { projectFiles, read, root } from './tree.ts'

const manifest = JSON.parse(read('package.json')) as {
  name: string
  scripts: Record<string, string>
  dependencies: Record<string, string>
  devDependencies: Record<string, string>
  peerDependencies: Record<string, string>
}
const packages = { ...manifest.dependencies, ...manifest.devDependencies, ...manifest.peerDependencies }

const documents = projectFiles(/^(?:[^/]+|(?:docs|examples)\/.*)\.md$/)
const blocks = documents.flatMap((document) => codeBlocks(document, read(document)))
const programs = blocks.filter((block) => isScript(block) && block.mark === 'run')
const sessions = blocks.filter((block) => isShell(block) && block.mark.startsWith('server: '))
// Apps that need a build of their framework are driven by a script, by hand.
const exampleTests = [...projectFiles(/^test\/(?!house\/).*\.test\.ts$/), 'scripts/test-frameworks.js'].map(
  read,
)
const exampleFiles = projectFiles(/^docs\/examples\/.*\.c?[tj]s$/)
const entries = exampleFiles.filter((file) => /^docs\/examples\/(?:[^/]+|[^/]+\/main)\.c?[tj]s$/.test(file))

// Inside the package, so that `aftertask` and the dependencies are found as a user would find them.
const scratch = '.docs-code'

/** The commands that documents may show, and what makes sure that each of them works: a fault, or null. */
const allowed: [pattern: RegExp, check: (match: RegExpExecArray, block: CodeBlock) => string | null][] = [
  [/^(?:[A-Z_]+=\S+ )*npm (?:run )?([\w:-]+)(?: -- .*)?$/, ([, script = '']) => npmScript(script)],
  [
    /^npm (?:install|i|add)((?: -D| --save-dev| --save-exact)*(?: [@\w./-]+)+)$/,
    ([, words = '']) => installed(words),
  ],
  [/^(?:[A-Z_]+=\S+ )*node ([\w./-]+\.[jt]s)$/, ([, file = '']) => executed(ofGuide(file))],
  [/^npm init -y$/, () => null],
  [/^npm pkg set type=module$/, () => null],
  [
    /^(?:\w+=\$\()?(?:time )?curl .*localhost:3000\b/,
    (_, block) =>
      block.mark.startsWith('server: ') ? null : 'curl needs <!-- server: examples/NAME --> above',
  ],
  [/^(\.ci\/run)$/, ([, file = '']) => (isExecutable(file) ? null : `${file} cannot be executed`)],
]

describe('the code in the documents', () => {
  beforeAll(() => {
    rmSync(root + scratch, { recursive: true, force: true })
    mkdirSync(root + scratch)
    for (const block of programs) writeFileSync(root + programFile(block), `${block.code}\n`)
    const compilerOptions = { noUnusedLocals: false, noUnusedParameters: false, rootDir: '..' }
    const settings = {
      extends: '../tsconfig.json',
      compilerOptions,
      files: programs.map((block) => basename(programFile(block))),
    }
    writeFileSync(join(root, scratch, 'tsconfig.json'), JSON.stringify(settings))
  })

  for (const block of blocks) {
    test(`is executed: ${block.place} (${block.language})`, () => {
      expect(fault(block)).toBeNull()
    })
  }

  if (programs.length > 0)
    test('passes the type check, where it is a whole program', async () => {
      const tsc = 'node_modules/typescript/bin/tsc'
      expect(await run(process.execPath, [tsc, '-p', scratch, '--pretty', 'false'])).toEqual({
        code: 0,
        output: '',
      })
    })

  for (const block of programs) {
    test(`runs to its end: ${block.place}`, async () => {
      const { code, output } = await run(process.execPath, [programFile(block)])
      expect(code, output).toBe(0)
      expectShown(output, shownBelow(block))
    })
  }

  for (const file of entries) {
    test(`runs to its end: ${file}`, async () => {
      const { code, output } = await run(process.execPath, [file])
      expect(code, output).toBe(0)
      const expected = file.replace(/\.c?[tj]s$/, '.out')
      expectShown(output, existsSync(root + expected) ? read(expected) : null)
    })
  }

  for (const settings of projectFiles(/^docs\/examples\/.*\/tsconfig\.json$/)) {
    test(`passes the type check under its own ${settings}`, async () => {
      const tsc = 'node_modules/typescript/bin/tsc'
      expect(await run(process.execPath, [tsc, '-p', settings, '--pretty', 'false'])).toEqual({
        code: 0,
        output: '',
      })
    })
  }

  test('is an entry, or is used by the entry beside it, where it is in docs/examples', () => {
    expect(exampleFiles.filter((file) => executed(file) !== null)).toEqual([])
  })

  for (const block of sessions) {
    test(`works against ${block.mark}: ${block.place}`, async () => {
      const port = await startServer(block.mark.replace('server: ', ''))
      // A place to write into, where the paths of the documents still lead to what they mean.
      const folder = mkdtempSync(join(tmpdir(), 'aftertask-docs-'))
      onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
      symlinkSync(join(root, 'examples'), join(folder, 'examples'))
      const lines = commands(block.code).filter((line) => /\bcurl\b/.test(line))
      const script = lines.join('\n').replaceAll('localhost:3000', `127.0.0.1:${port}`)
      const { code, output } = await run('bash', ['-euc', script], folder)
      expect(code, output).toBe(0)
      expectShown(output, shownBelow(block))
    })
  }
})

describe('the check of code blocks', () => {
  const one = (text: string): CodeBlock => codeBlocks('x.md', text)[0] ?? expect.unreachable('no block')

  test.each([
    ['a block of code with no mark', '```ts\nfoo()\n```'],
    ['a mark that says nothing', '<!-- ignore -->\n```js\nfoo()\n```'],
    ['a file that is not there', '<!-- file: examples/nowhere.ts -->\n```ts\nfoo()\n```'],
    ['a file that differs', '<!-- file: test/house/fixtures/leaky.fixture.ts -->\n```ts\nfoo()\n```'],
    ['a command that nothing vouches for', '```bash\nnpm start\nrm -rf everything\n```'],
    ['a script that is not there', '```bash\nnpm run nothing\n```'],
    ['curl without a server', '```bash\ncurl localhost:3000/\n```'],
    ['a package that is not used here', '```sh\nnpm install left-pad\n```'],
    ['JSON that does not parse', '```json\n{ a: 1 }\n```'],
    ['a language that it does not know', '```python\nprint()\n```'],
    ['a block of no language', '```\nfoo()\n```'],
    ['an output without a program above it', '<!-- output -->\n```text\nhello\n```'],
  ])('refuses %s', (_what, text) => {
    expect(fault(one(text))).not.toBeNull()
  })

  test.each([
    ['a whole program', '<!-- run -->\n```ts\nfoo()\n```'],
    [
      'known commands',
      '```bash\nnpm install aftertask zod polka\nPORT=8080 npm start # or another port\nnpm test\n```',
    ],
    [
      'curl with a server',
      '<!-- server: examples/hello -->\n\n```sh\ncurl -s \\\n  localhost:3000/hello\n```',
    ],
    ['JSON', '```json\n{ "a": 1 }\n```'],
    ['a drawing', '```mermaid\ngraph LR\n```'],
  ])('accepts %s', (_what, text) => {
    expect(fault(one(text))).toBeNull()
  })

  test('finds a region, and moves it to the left edge', () => {
    const text =
      'a\n  // #region part\n  b\n    // #region inner\n    c\n    // #endregion inner\n  // #endregion part\nd\n'
    expect(region(text, 'part')).toBe('b\n  c')
    expect(region(text, undefined)).toBe('a\n  b\n    c\nd')
    expect(region(text, 'other')).toBeNull()
  })

  test('lets three dots in a shown output stand for anything', () => {
    expect(matchesShown('{"job":"a1b2"}\nAll done\n', '{"job":"..."}\nAll done')).toBe(true)
    expect(matchesShown('{"job":"a1b2"}\n', '{"id":"..."}')).toBe(false)
  })
})

/** What is wrong with a block, short of running it: null when something runs it. */
function fault(block: CodeBlock): string | null {
  if (isScript(block)) return scriptFault(block)
  if (isShell(block)) return shellFault(block)
  if (block.language === 'json') return jsonFault(block.code)
  if (block.language === 'text') return block.mark === 'output' ? outputFault(block) : null
  if (block.language === 'mermaid') return null
  return `a block of ${block.language || 'no language'}: use ts, js, bash, sh, json, text or mermaid`
}

function scriptFault({ mark, code, language }: CodeBlock): string | null {
  if (mark === 'run') return null
  const [, file = '', part] = /^file: ([^\s#]+)(?:#(\S+))?$/.exec(mark) ?? []
  if (file === '') return `a ${language} block needs <!-- run --> or <!-- file: ... --> above it`
  if (!existsSync(root + file)) return `${file} does not exist`
  const shown = region(read(file), part)
  if (shown === null) return `${file} has no region ${part}`
  if (shown !== code.trim())
    return `the block differs from ${file}${part ? `#${part}` : ''}, which reads:\n${shown}`
  return executed(file)
}

function shellFault(block: CodeBlock): string | null {
  if (block.mark.startsWith('server: ') && !existsSync(root + serverFile(block.mark.replace('server: ', ''))))
    return `${block.mark}: there is no such server`
  for (const command of commands(block.code)) {
    const rule = allowed.find(([pattern]) => pattern.test(command))
    const match = rule?.[0].exec(command)
    if (rule === undefined || !match) return `nothing vouches for "${command}": add its kind to \`allowed\``
    const wrong = rule[1](match, block)
    if (wrong !== null) return wrong
  }
  return null
}

function outputFault(block: CodeBlock): string | null {
  const above = blocks[blocks.indexOf(block) - 1]
  const runs = above !== undefined && (programs.includes(above) || sessions.includes(above))
  return runs ? null : '<!-- output --> needs a block that is run right above it'
}

function jsonFault(code: string): string | null {
  try {
    JSON.parse(code)
    return null
  } catch (error) {
    return String(error)
  }
}

/** Whether something runs a file: null, or what is missing. */
function executed(file: string): string | null {
  if (!existsSync(root + file)) return `${file} does not exist`
  if (entries.includes(file)) return null
  if (file.startsWith('docs/examples/')) {
    const [, , folder] = file.split('/')
    const beside = exampleFiles.filter(
      (other) => other !== file && other.startsWith(`docs/examples/${folder}/`),
    )
    const name = basename(file).replace(/\.c?[tj]s$/, '')
    const used = beside.some((other) => new RegExp(`/${name}\\.c?[tj]s['"\`]`).test(read(other)))
    return used ? null : `no program beside ${file} uses it`
  }
  const example = /^examples\/[^/]+/.exec(file)?.[0]
  if (example === undefined) return `${file} is neither in examples nor in docs/examples`
  const tested = exampleTests.some((text) => text.includes(example))
  return tested ? null : `no test mentions ${example}`
}

// The guide to a first server names its files as they are called in the reader's folder.
function ofGuide(file: string): string {
  const first = `docs/examples/first${file.endsWith('.js') ? '-js' : ''}/${file}`
  return existsSync(root + file) || !existsSync(root + first) ? file : first
}

function npmScript(script: string): string | null {
  return script in manifest.scripts || ['ci', 'install'].includes(script)
    ? null
    : `there is no npm script ${script}`
}

function installed(words: string): string | null {
  const names = words
    .split(' ')
    .filter((word) => word !== '' && !word.startsWith('-'))
    .map((word) => word.replace(/(.)@.*$/, '$1'))
  const unknown = names.filter((name) => name !== manifest.name && !(name in packages))
  return unknown.length === 0 ? null : `${unknown.join(', ')}: not a package that is used here`
}

function isScript(block: CodeBlock): boolean {
  return ['ts', 'js'].includes(block.language)
}

function isShell(block: CodeBlock): boolean {
  return ['bash', 'sh'].includes(block.language)
}

function isExecutable(file: string): boolean {
  try {
    accessSync(root + file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

function programFile(block: CodeBlock): string {
  return `${scratch}/${block.place.replace(/\.md:/, '-').replace(/\W+/g, '-')}.${block.language}`
}

function serverFile(example: string): string {
  return `${example}/server.ts`
}

function shownBelow(block: CodeBlock): string | null {
  const below = blocks[blocks.indexOf(block) + 1]
  const isOutput = below?.mark === 'output' && below.place.split(':')[0] === block.place.split(':')[0]
  return isOutput ? below.code : null
}

function expectShown(output: string, shown: string | null): void {
  const asShown = shown === null || matchesShown(output, shown)
  // The plain comparison is the one that shows the difference.
  expect(asShown ? shown : output.trim()).toBe(shown)
}

function run(program: string, args: string[], cwd = root): Promise<{ code: unknown; output: string }> {
  return new Promise((resolve) => {
    execFile(program, args, { cwd, timeout: 170_000, killSignal: 'SIGKILL' }, (error, stdout, stderr) => {
      resolve({
        code: error === null ? 0 : (error.code ?? error.signal),
        output: stdout + (error ? stderr : ''),
      })
    })
  })
}

/** Starts an example's server on a port of its own, until the test ends: the port, once it has printed it. */
async function startServer(example: string): Promise<number> {
  const port = await freePort()
  // What a server writes goes with the test, not into the example's own folder.
  const data = mkdtempSync(join(tmpdir(), 'aftertask-docs-'))
  const server = spawn(process.execPath, [serverFile(example)], {
    cwd: root,
    env: { ...process.env, PORT: String(port), PHOTOS_DATA: data, SIGNUP_DATA: data },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const exited = once(server, 'exit')
  onTestFinished(async () => {
    server.kill('SIGKILL')
    await exited
    rmSync(data, { recursive: true, force: true })
  })
  let output = ''
  await new Promise<void>((resolve, reject) => {
    const hear = (chunk: Buffer): void => {
      output += chunk
      if (output.includes(`:${port}`)) resolve()
    }
    server.stdout.on('data', hear)
    server.stderr.on('data', hear)
    server.once('error', reject)
    server.once('exit', (code) =>
      reject(new Error(`${example} ended with ${code} before it said its port:\n${output}`)),
    )
  })
  return port
}
