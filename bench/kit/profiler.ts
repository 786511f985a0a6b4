/** CPU and allocation profiles of the calling thread, through Node's own inspector: what DevTools opens. */
import { type HeapProfiler, type Profiler, Session } from 'node:inspector/promises'

/** The share of one function. */
export interface Hot {
  readonly name: string
  /** The file from the package's root, or Node's own name of it, with the line. */
  readonly place: string
  readonly isOurs: boolean
  /** Microseconds of self time, or bytes allocated. */
  readonly self: number
}

/** Profiles where the CPU time goes while something runs. */
export async function cpuProfile(run: () => Promise<unknown>): Promise<Profiler.Profile> {
  const session = new Session()
  session.connect()
  await session.post('Profiler.enable')
  await session.post('Profiler.setSamplingInterval', { interval: 200 })
  await session.post('Profiler.start')
  await run()
  const { profile } = await session.post('Profiler.stop')
  session.disconnect()
  return profile
}

/** Profiles what allocates while something runs, what is already collected included. */
export async function allocationProfile(
  run: () => Promise<unknown>,
): Promise<HeapProfiler.SamplingHeapProfile> {
  const session = new Session()
  session.connect()
  await session.post('HeapProfiler.startSampling', {
    samplingInterval: 8192,
    includeObjectsCollectedByMajorGC: true,
    includeObjectsCollectedByMinorGC: true,
  })
  await run()
  const { profile } = await session.post('HeapProfiler.stopSampling')
  session.disconnect()
  return profile
}

/** The functions by self time, the idle time left out. */
export function hotByTime({ nodes, samples = [], timeDeltas = [] }: Profiler.Profile): Hot[] {
  const byId = new Map(nodes.map((node) => [node.id, node.callFrame]))
  const sums = new Map<string, Hot>()
  for (const [index, id] of samples.entries()) {
    const frame = byId.get(id)
    // The time after a sample is that sample's.
    const time = timeDeltas[index + 1] ?? 0
    if (frame !== undefined && frame.functionName !== '(idle)') add(sums, frame, time)
  }
  return sorted(sums)
}

/** The functions by the bytes that they allocate. */
export function hotByBytes({ head }: HeapProfiler.SamplingHeapProfile): Hot[] {
  const sums = new Map<string, Hot>()
  const visit = (node: HeapProfiler.SamplingHeapProfileNode): void => {
    if (node.selfSize > 0) add(sums, node.callFrame, node.selfSize)
    for (const child of node.children) visit(child)
  }
  visit(head)
  return sorted(sums)
}

interface Frame {
  readonly functionName: string
  readonly url: string
  readonly lineNumber: number
}

function add(sums: Map<string, Hot>, { functionName, url, lineNumber }: Frame, amount: number): void {
  const file = url.replace(/^file:\/\/.*?\/(dist|node_modules|bench)\//, '$1/')
  const place = file === '' ? '' : `${file}:${lineNumber + 1}`
  const name = functionName === '' ? '(anonymous)' : functionName
  const key = `${name} ${place}`
  const self = (sums.get(key)?.self ?? 0) + amount
  sums.set(key, { name, place, isOurs: file.startsWith('dist/'), self })
}

function sorted(sums: ReadonlyMap<string, Hot>): Hot[] {
  return [...sums.values()].sort((one, other) => other.self - one.self)
}
