/** How many threads a pool has. */
import { defaultThreads, type ReadPoolOptions } from '../rules/runtime-schemas.ts'

/** The least and the most threads that the options ask for. */
export function threadCounts(options: ReadPoolOptions): { min: number; max: number } {
  const { threads, min, max } = options
  if (threads !== undefined) return { min: threads, max: threads }
  if (min === undefined && max === undefined) return { min: defaultThreads(), max: defaultThreads() }
  const most = max ?? Math.max(defaultThreads(), min ?? 1)
  return { min: Math.min(min ?? 1, most), max: most }
}
