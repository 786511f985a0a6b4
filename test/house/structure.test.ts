import { describe, expect, test } from 'vitest'
import { CAPABILITY_METHODS } from '../../src/rules/broker-shape.ts'
import { circles, importGraph, methodsOf, optionalMembers, portInterfaces } from './structure.ts'
import { importsOf, projectFiles, read } from './tree.ts'

/** Rooms that still have circles inside; the list may only get shorter. */
const unfinished = /^workers\/[^/]+$/

describe('the files of the library', () => {
  test('import each other in no circle, types included', () => {
    const found = circles(importGraph()).filter((circle) => !circle.every((file) => unfinished.test(file)))
    expect(found.map((circle) => circle.join(' '))).toEqual([])
  })
})

const bullmq = 'src/brokers/bullmq/'
/** High to low. Files beside the rooms stand above them, but for those that say what was asked for. */
const roomsOfBullmq = ['', 'local/', 'consumer/', 'store/', 'options.ts', 'queues.ts']

function floorOf(file: string): number {
  const rest = file.slice(bullmq.length)
  return roomsOfBullmq.findLastIndex((room) => rest.startsWith(room))
}

describe('the rooms of the brokers', () => {
  test('that hold one broker are entered through its face only, by whoever uses brokers', () => {
    const roomOf = (file: string): string => /^src\/brokers\/(memory|sqlite|bullmq)\//.exec(file)?.[1] ?? ''
    const found = [...importGraph()].flatMap(([file, targets]) =>
      targets
        .filter((target) => roomOf(target) !== '' && roomOf(target) !== roomOf(file))
        .filter((target) => file !== `src/brokers/${roomOf(target)}.ts`)
        .map((target) => `${file} imports ${target}`),
    )
    expect(found).toEqual([])
  })

  test('of BullMQ call downward only: local jobs, the consumer, the store', () => {
    const found = [...importGraph()]
      .filter(([file]) => file.startsWith(bullmq))
      .flatMap(([file, targets]) =>
        targets
          .filter((target) => target.startsWith(bullmq) && floorOf(target) < floorOf(file))
          .map((target) => `${file} imports ${target}`),
      )
    expect(found).toEqual([])
  })

  test('of BullMQ know the packages bullmq, ioredis and pg in the store alone', () => {
    const isPeer = (specifier: string): boolean => /^(?:bullmq|ioredis|pg)(?:\/|$)/.test(specifier)
    const found = [...importGraph().keys()].filter(
      (file) => !file.startsWith(`${bullmq}store/`) && importsOf(read(file)).some(isPeer),
    )
    expect(found).toEqual([])
  })
})

describe('the broker port', () => {
  const port = portInterfaces()

  test('has no optional members: a broker answers every call, and says null where it lacks a capability', () => {
    expect(port.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['Broker', 'BrokerHost', 'ReadyJobs']),
    )
    expect(port.flatMap(({ file, name }) => optionalMembers(file, name))).toEqual([])
  })

  test('is described member by member', () => {
    const page = read('docs/reference/broker.md')
    const members = port.flatMap(({ file, name }) => methodsOf(file, name).map((member) => [name, member]))
    expect(
      members.filter(([, member]) => !(page.includes(`\`${member}`) || page.includes(`${member}(`))),
    ).toEqual([])
  })

  test('has the methods that createRuntime looks for in a broker', () => {
    const broker = read('src/brokers/port/broker.ts')
    for (const [capability, methods] of Object.entries(CAPABILITY_METHODS)) {
      const type = new RegExp(`readonly ${capability}: (\\w+)`).exec(broker)?.[1] ?? ''
      expect([capability, methodsOf('src/brokers/port/broker.ts', type)]).toEqual([capability, methods])
    }
  })
})

describe('the architecture page', () => {
  const page = read('docs/architecture.md')
  const sources = [...importGraph().keys()]

  test('names files that exist', () => {
    const named = [...page.matchAll(/`((?:[\w.-]+\/)*[\w-]+\.ts)`/g)].map(([, file = '']) => file)
    expect(named.length).toBeGreaterThan(50)
    const known = [...sources, ...projectFiles(/^test\/house\//)]
    expect(named.filter((file) => !known.some((path) => `/${path}`.endsWith(`/${file}`)))).toEqual([])
  })

  test('walks down without coming to the same file twice', () => {
    const walks = page.split(/^### /m).filter((section) => section.startsWith('Down, '))
    expect(walks.length).toBe(4)
    for (const walk of walks) {
      const files = [...walk.matchAll(/`((?:src|workers)\/[\w./-]+\.ts)`/g)].map(([, file]) => file)
      expect(files).toEqual([...new Set(files)])
    }
  })
})

describe('the search for circles', () => {
  test('finds a circle of two files and one of three, and no others', () => {
    const graph = new Map([
      ['a', ['b']],
      ['b', ['a', 'c']],
      ['c', ['d']],
      ['d', ['e']],
      ['e', ['c', 'f']],
      ['f', []],
    ])
    expect(circles(graph)).toEqual([
      ['a', 'b'],
      ['c', 'd', 'e'],
    ])
  })
})

describe('the count of optional members', () => {
  test('is that of an interface, properties and methods', () => {
    expect(optionalMembers('src/engine/log.ts', 'LogLine')).toEqual([
      'job',
      'data',
      'printed',
      'at',
      'requestId',
      'error',
    ])
  })
})
