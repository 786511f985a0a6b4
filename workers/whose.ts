/** Whose code runs: the attempt it belongs to, whatever it awaits. Tells whose fault an escaped error is. */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { Attempt } from './attempt.ts'

/** The attempt of the running code; null for what a module does of its own accord; undefined when nothing tells. */
export const whose = new AsyncLocalStorage<Attempt | null | undefined>()
