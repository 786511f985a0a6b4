import { existsSync } from 'node:fs'
import { basename } from 'node:path'
import { describe, expect, test } from 'vitest'
import { importsOf, projectFiles, read, resolveImport, root } from './tree.ts'

/** High to low. A floor's rooms are the folders that stand side by side on it. */
const floors: { name: string; rooms: string[] }[] = [
  { name: 'face', rooms: ['src/index.ts'] },
  { name: 'edges', rooms: ['src/http/', 'src/dashboard/', 'src/telemetry/', 'src/testing/', 'src/cli/'] },
  { name: 'engine', rooms: ['src/engine/'] },
  { name: 'ports', rooms: ['src/pools/', 'src/brokers/', 'src/control/'] },
  { name: 'rules', rooms: ['src/rules/'] },
  { name: 'words', rooms: ['src/words/'] },
]

/**
 * The rooms of the brokers, high to low. Each broker has a room of its own, behind one file that is its face; what two
 * share lies beneath, and the port beneath everything.
 */
const brokerRooms: string[][] = [
  ['src/brokers/memory.ts', 'src/brokers/sqlite.ts', 'src/brokers/bullmq.ts', 'src/brokers/broker.ts'],
  ['src/brokers/memory/', 'src/brokers/sqlite/', 'src/brokers/bullmq/'],
  ['src/brokers/lifecycle/'],
  ['src/brokers/structures/'],
  ['src/brokers/port/'],
]

/** What runs inside a thread knows the rules and the words, never the engine that drives it. */
const threadMayImport = ['workers/', 'src/rules/', 'src/words/']

const sources = projectFiles(/^(?:src|workers)\/.*\.ts$/)

describe('imports', () => {
  test('point only downward, and never from one room to another of the same floor', () => {
    expect(sources.flatMap((file) => faults(file, read(file)))).toEqual([])
  })

  test('of an optional peer are found in its own subpath only', () => {
    const { peerDependenciesMeta } = JSON.parse(read('package.json')) as {
      peerDependenciesMeta: Record<string, { optional?: boolean }>
    }
    const optional = Object.keys(peerDependenciesMeta).filter((peer) => peerDependenciesMeta[peer]?.optional)
    expect(reach('src/index.ts').filter((specifier) => optional.includes(specifier))).toEqual([])
  })

  test('of a thread, as it is built, lead to no package: what is shared with the engine does not bring the engine along', () => {
    const thread = reach('dist/workers/task-thread.js', (file) => existsSync(root + file))
    expect(thread.length, 'there is no build to look at: npm run build').toBeGreaterThan(0)
    expect(thread.filter((specifier) => !specifier.startsWith('node:'))).toEqual([])
  })
})

describe('the check of imports', () => {
  test.each([
    ['src/engine/runtime.ts', "import { after } from '../http/batch.ts'", 'upward'],
    ['src/words/job.ts', "import type { Task } from '../rules/task.ts'", 'upward, for a type'],
    ['src/pools/pool.ts', "import {\n  Broker,\n} from '../brokers/port/broker.ts'", 'across a floor'],
    [
      'src/brokers/port/broker.ts',
      "import { Ring } from '../structures/ring.ts'",
      'of a structure by the port',
    ],
    [
      'src/brokers/structures/heap.ts',
      "import { x } from '../lifecycle/attempts.ts'",
      'upward, among brokers',
    ],
    [
      'src/brokers/sqlite/outbox.ts',
      "import { x } from '../memory/key-locks.ts'",
      'of one broker by another',
    ],
    ['src/brokers/sqlite.ts', "import { memoryBroker } from './memory.ts'", 'of one face by another'],
    ['src/brokers/attic.ts', "import type { Broker } from './port/broker.ts'", 'in no room of the brokers'],
    ['src/http/batch.ts', "export * from '../telemetry/spans.ts'", 'across the edges'],
    ['src/engine/runtime.ts', "const { Runtime } = await import('../index.ts')", 'of the face'],
    ['src/engine/runtime.ts', "import 'aftertask/errors'", 'of the package by its own name'],
    ['src/engine/runtime.ts', "import { x } from '../../workers/task-thread.ts'", 'of thread code'],
    ['workers/task-thread.ts', "import { Pool } from '../src/pools/pool.ts'", 'of a port by a thread'],
    ['src/attic/thing.ts', '', 'in a folder that is on no floor'],
  ])('refuses one in %s: %s', (file, text) => {
    expect(faults(file, text)).toHaveLength(1)
  })

  test.each([
    [
      'src/http/polka.ts',
      "import { Batch } from './batch.ts'\nimport type { Runtime } from '../engine/runtime.ts'",
    ],
    ['src/brokers/memory/memory-broker.ts', "import { Heap } from '../structures/heap.ts'"],
    ['src/brokers/lifecycle/attempts.ts', "import type { Broker } from '../port/broker.ts'"],
    ['src/index.ts', "export { createRuntime } from './engine/runtime.ts'"],
    [
      'workers/task-thread.ts',
      "import { decode } from '../src/rules/codec.ts'\nimport { a } from './heap.ts'",
    ],
    ['src/words/job.ts', "// import { x } from '../engine/runtime.ts'\nimport { z } from 'zod'"],
  ])('accepts those in %s', (file, text) => {
    expect(faults(file, text)).toEqual([])
  })
})

describe('files', () => {
  test('have a name that says what is in them', () => {
    const nameless = /^(?:utils?|types?|helpers?|commons?|misc|shared)\.[tj]s$/
    expect(sources.filter((file) => nameless.test(basename(file)))).toEqual([])
  })

  test('of more than 400 lines say why', () => {
    const long = sources.filter((file) => read(file).split('\n').length > 401)
    expect(long.filter((file) => !read(file).includes('// long because:'))).toEqual([])
  })
})

function faults(file: string, text: string): string[] {
  if (!file.startsWith('workers/') && placeOf(file) === null) return [`${file} is on no floor`]
  return importsOf(text)
    .map((specifier) => [specifier, resolveImport(file, specifier)] as const)
    .filter(([specifier, target]) =>
      target === null ? /^aftertask(?:\/|$)/.test(specifier) : !mayImport(file, target),
    )
    .map(([specifier]) => `${file} imports ${specifier}`)
}

function mayImport(file: string, target: string): boolean {
  if (file.startsWith('workers/')) return threadMayImport.some((folder) => target.startsWith(folder))
  // A test runs handlers in its own thread, with the code that runs them in theirs.
  if (file.startsWith('src/testing/') && target.startsWith('workers/')) return true
  const from = placeOf(file)
  const to = placeOf(target)
  if (from === null || to === null) return false
  if (to.room === 'src/brokers/' && from.room === to.room) return mayReach(file, target)
  return to.floor > from.floor || (to.room === from.room && to.floor !== 0)
}

/** From one room of the brokers to another. */
function mayReach(file: string, target: string): boolean {
  const [from, to] = [file, target].map((path) => {
    const floor = brokerRooms.findIndex((rooms) => rooms.some((room) => path.startsWith(room)))
    return { floor, room: brokerRooms[floor]?.find((room) => path.startsWith(room)) }
  }) as [{ floor: number; room: string | undefined }, { floor: number; room: string | undefined }]
  if (from.floor === -1 || to.floor === -1) return false
  return to.floor > from.floor || (to.room === from.room && to.floor !== 0)
}

/** The floor, counted from the top, and the room. */
function placeOf(file: string): { floor: number; room: string } | null {
  for (const [floor, { rooms }] of floors.entries()) {
    const room = rooms.find((start) => file.startsWith(start))
    if (room !== undefined) return { floor, room }
  }
  return null
}

/** Every package that a module loads, itself or through others. Dynamic imports count: they are loaded as well. */
function reach(entry: string, isOurs = (file: string): boolean => sources.includes(file)): string[] {
  const seen = new Set<string>()
  const packages = new Set<string>()
  const visit = (file: string): void => {
    if (seen.has(file) || !isOurs(file)) return
    seen.add(file)
    for (const specifier of importsOf(read(file))) {
      const target = resolveImport(file, specifier)
      if (target === null) packages.add(specifier)
      else visit(target)
    }
  }
  visit(entry)
  return [...packages]
}
