/**
 * Where a process is, as far as its pid means something: on one machine, since one boot, and in one namespace of pids.
 * Two containers may have one host name, and each its process 1.
 */
import { randomUUID } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { hostname, uptime } from 'node:os'

/** A process as the file knows it. */
export interface Presence {
  readonly pid: number
  readonly host: string
  readonly boot: string
  /** The namespace that its pid belongs to; empty where there are none, or none was recorded. */
  readonly space: string
  /** When it started, in the system's own units; empty where that is not told. */
  readonly started: string
  /** When it was last heard of, on the wall clock. */
  readonly seen: number
}

/** Silence, in milliseconds, after which a process counts as dead that cannot be looked at from here. */
export const LEASE = 30_000

const IS_LINUX = process.platform === 'linux'

/** This machine's name, as runs are recorded under it. */
const host: string = hostname()

/** Where this process is, and since when. */
export function ownPresence(seen: number): Presence {
  return { pid: process.pid, host, boot: bootId(), space: pidSpace(), started: startOf('self'), seen }
}

/** Whether a process is there: of one that can be looked at its pid tells, of any other only its silence. */
export function isAlive(run: Presence, wall: number, own: Presence = ownPresence(wall)): boolean {
  return isHere(run, wall, own) ?? (isLookable(run, own) || wall - run.seen < LEASE)
}

/** Whether a process is there, as far as that can be looked at from here; undefined when it cannot be told. */
export function isHere(run: Presence, wall: number, own: Presence): boolean | undefined {
  if (!isSameMachine(run, own)) return undefined
  // The machine has been started anew since; but one of another kernel may have the same name.
  if (run.boot !== own.boot) return run.seen > wall - uptime() * 1000 ? undefined : false
  if (run.space !== own.space) return undefined
  try {
    process.kill(run.pid, 0)
  } catch (error) {
    // EPERM: there is such a process, and it is not ours to signal.
    if ((error as { code?: unknown }).code !== 'EPERM') return false
  }
  // The number may have been given to another process since.
  return run.started === '' ? undefined : run.started === startOf(String(run.pid))
}

function isLookable(run: Presence, own: Presence): boolean {
  return isSameMachine(run, own) && run.boot === own.boot && run.space === own.space
}

/** Whether a process that is there is the one that asks. */
export function isThisProcess(run: Presence): boolean {
  const own = ownPresence(0)
  return (
    isSameMachine(run, own) && run.pid === own.pid && run.space === own.space && run.started === own.started
  )
}

/** A kernel tells itself from all others by its boot; a host name is one only where there is nothing better. */
function isSameMachine(run: Presence, own: Presence): boolean {
  return run.host === own.host || (IS_LINUX && run.boot === own.boot)
}

const NO_BOOT_ID = randomUUID()
const NO_SPACE = randomUUID()

/** One for each boot of a machine; where the system does not tell it, none that would equal another's. */
function bootId(): string {
  return readText('/proc/sys/kernel/random/boot_id') ?? (IS_LINUX ? NO_BOOT_ID : '')
}

/** The namespace of our pid; where Linux does not tell it, none that would equal another's. */
function pidSpace(): string {
  if (!IS_LINUX) return ''
  try {
    // A /proc of another namespace tells of other processes by the same numbers.
    return readlinkSync('/proc/self') === String(process.pid) ? readlinkSync('/proc/self/ns/pid') : NO_SPACE
  } catch {
    return NO_SPACE
  }
}

function startOf(pid: string): string {
  const stat = readText(`/proc/${pid}/stat`)
  // The name, in brackets, may hold spaces.
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch {
    return undefined
  }
}
