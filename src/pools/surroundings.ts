/**
 * What threads take from the process: its environment, its working directory, its Node options. It is taken once, when
 * the pool is made, so that a thread that starts later finds what the first ones found, whatever the program has changed
 * meanwhile.
 */
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Worker } from 'node:worker_threads'
import type { ReadPoolOptions } from '../rules/runtime-schemas.ts'

/** What a pool's threads are started with. */
export interface Surroundings {
  /** The environment to start the thread with; undefined for the process's own. */
  readonly env: Record<string, string> | undefined
  /** The environment that handlers are to see, where that is a copy of the process's. */
  readonly handlerEnv: Record<string, string> | undefined
  readonly execArgv: string[] | undefined
}

/** The process, as far as threads take something from it. */
export interface ProcessFacts {
  readonly env: NodeJS.ProcessEnv
  readonly execArgv: readonly string[]
  cwd(): string
}

const AS_URL = ['--import', '--loader', '--experimental-loader']
const AS_PATH = ['--require', '-r']
// With a flag that is surely refused the constructor names every other that is, and starts no thread.
const NO_FLAG = '--aftertask-asks-which-flags-threads-take'

/** Reads what threads are to be started with, now. */
export function surroundingsOf(
  { env, execArgv }: Pick<ReadPoolOptions, 'env' | 'execArgv'>,
  from: ProcessFacts = process,
): Surroundings {
  const cwd = from.cwd()
  const own = from.env['NODE_OPTIONS']
  const preloads = own === undefined ? undefined : absoluteIn(own, cwd)
  const handlerEnv = env === undefined ? copyOf(from.env) : undefined
  return {
    env:
      env === undefined
        ? preloads === own
          ? undefined
          : { ...handlerEnv, NODE_OPTIONS: preloads ?? '' }
        : { ...env },
    handlerEnv,
    execArgv:
      execArgv === undefined ? inherited(from.execArgv, cwd, preloads !== own) : absolute(execArgv, cwd),
  }
}

/** The flag that sets a heap limit for every thread of the process, whatever its pool says; undefined when there is none. */
export function heapFlag({ execArgv, env }: Pick<ProcessFacts, 'execArgv' | 'env'>): string | undefined {
  const words = [...execArgv, ...(env['NODE_OPTIONS'] ?? '').split(/\s+/)]
  return words.find((word) => /^--max[-_]old[-_]space[-_]size/.test(word))
}

function copyOf(env: NodeJS.ProcessEnv): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined),
  )
}

/** Threads inherit the process's options by themselves, unless one of them would be looked for where the process is then. */
function inherited(given: readonly string[], cwd: string, isGiven: boolean): string[] | undefined {
  const execArgv = absolute(given, cwd)
  if (!isGiven && execArgv.every((word, index) => word === given[index])) return undefined
  const refused = refusedIn(execArgv)
  return execArgv.filter((word) => !refused.has(word))
}

/** Options of the process that are refused for a thread. */
function refusedIn(execArgv: readonly string[]): Set<string> {
  try {
    void new Worker('', { eval: true, execArgv: [...execArgv, NO_FLAG] }).terminate()
  } catch (error) {
    const [, list = ''] = String((error as Error).message).split('flags: ')
    return new Set(list.split(', '))
  }
  return new Set()
}

/** Paths of preloads as they are from this folder. */
function absolute(execArgv: readonly string[], cwd: string): string[] {
  return execArgv.map((word, index) => {
    const [flag = '', ...rest] = word.split('=')
    if (rest.length > 0 && isPreload(flag)) return `${flag}=${located(flag, rest.join('='), cwd)}`
    const before = execArgv[index - 1]
    return before !== undefined && isPreload(before) ? located(before, word, cwd) : word
  })
}

function absoluteIn(nodeOptions: string, cwd: string): string {
  return nodeOptions.replace(/(--?[\w-]+)([= ]+)(\.{1,2}[/\\][^\s"]*)/g, (whole, flag, between, path) =>
    isPreload(flag) ? `${flag}${between}${located(flag, path, cwd)}` : whole,
  )
}

function isPreload(flag: string): boolean {
  return AS_URL.includes(flag) || AS_PATH.includes(flag)
}

function located(flag: string, path: string, cwd: string): string {
  if (!/^\.{1,2}[/\\]/.test(path)) return path
  const full = resolve(cwd, path)
  return AS_URL.includes(flag) ? pathToFileURL(full).href : full
}
