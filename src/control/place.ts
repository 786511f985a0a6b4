/** Where control sockets are: the folder that a runtime puts its own into, and a terminal looks into. */
import { lstatSync, mkdirSync, readdirSync, unlinkSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { ControlUnavailableError, OptionsInvalidError } from '../words/errors.ts'

const ENDING = '.sock'
// What the address of a unix socket has room for, its end included: less on macOS than on Linux.
const LONGEST = process.platform === 'linux' ? 107 : 103
const OWNER_ONLY = 0o700

/** The folders in which sockets are looked for, the one for new ones first. */
export function controlFolders(): string[] {
  const own = join(tmpdir(), `aftertask-${userInfo().uid}`)
  const ofSession = process.env['XDG_RUNTIME_DIR']
  return ofSession === undefined || ofSession === '' ? [own] : [join(ofSession, 'aftertask'), own]
}

/** The sockets in the default folders that somebody answers at. */
export async function livingSockets(): Promise<string[]> {
  const found = controlFolders().flatMap((folder) => {
    try {
      expectPrivate(folder)
      return readdirSync(folder).map((name) => join(folder, name))
    } catch {
      return []
    }
  })
  const sockets = found.filter((path) => path.endsWith(ENDING))
  const living = await Promise.all(sockets.map((path) => isAlive(path)))
  return sockets.filter((_path, index) => living[index])
}

/** True when a process answers at a socket. */
function isAlive(path: string): Promise<boolean> {
  return new Promise((decide) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      decide(true)
    })
    // Of a full or forbidden socket somebody is the owner; only these two say that nobody is there.
    socket.once('error', (error: NodeJS.ErrnoException) =>
      decide(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'),
    )
  })
}

/**
 * The place of a new socket, with its folder made: the path that was given, or a name with this process's pid in the default
 * folder. What a dead process has left there is removed.
 *
 * @throws OptionsInvalidError when the path cannot be one; ControlUnavailableError when somebody answers there, when something
 * else stands there, or when the folder is open to others.
 */
export async function placeFor(given: true | string): Promise<string> {
  if (given !== true) {
    const path = expectShort(resolve(given))
    mkdirSync(dirname(path), { recursive: true, mode: OWNER_ONLY })
    if (!(await makeFree(path)))
      throw new ControlUnavailableError(
        path,
        `A living process has the socket ${path}. Give each process a path of its own.`,
      )
    return path
  }
  const [folder = ''] = controlFolders()
  mkdirSync(folder, { recursive: true, mode: OWNER_ONLY })
  expectPrivate(folder)
  for (let number = 1; ; number++) {
    const path = join(folder, `${process.pid}${number === 1 ? '' : `-${number}`}${ENDING}`)
    if (await makeFree(expectShort(path))) return path
  }
}

/** Removes the socket of a dead process; false when somebody answers there. */
async function makeFree(path: string): Promise<boolean> {
  const before = lstatSync(path, { throwIfNoEntry: false })
  if (before === undefined) return true
  if (!before.isSocket())
    throw new ControlUnavailableError(path, `${path} is there, and is no socket. Give another path.`)
  if (await isAlive(path)) return false
  // Somebody else may have found it dead as well, and stand there now.
  const now = lstatSync(path, { throwIfNoEntry: false })
  if (now === undefined) return true
  if (now.ino !== before.ino) return false
  unlinkSync(path)
  return true
}

function expectShort(path: string): string {
  if (path.includes('\0'))
    throw new OptionsInvalidError(
      'createRuntime: option "control" has a null character; expected a path.',
      'control',
    )
  // It is bound under another name in a folder beside it: see `bind`.
  const length = Math.max(Buffer.byteLength(path), Buffer.byteLength(dirname(path)) + '/.123456/ab'.length)
  if (length <= LONGEST) return path
  throw new OptionsInvalidError(
    `createRuntime: option "control" is a path of ${length} bytes (${path}); a socket has at most ${LONGEST}. Give a shorter one.`,
    'control',
  )
}

/** A folder that others may write to is not ours, whatever its name is. */
function expectPrivate(folder: string): void {
  const { uid, mode } = lstatSync(folder)
  const isOurs = lstatSync(folder).isDirectory() && uid === userInfo().uid && (mode & 0o077) === 0
  if (isOurs) return
  throw new ControlUnavailableError(
    folder,
    `The folder ${folder} is not a folder of this user alone. Remove it, or give control a path elsewhere.`,
  )
}
