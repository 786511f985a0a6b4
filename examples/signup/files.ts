/** The files that stand for a database and a mail server, so that the example needs neither. */
import { createHash } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { appendFile, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Where they are: `SIGNUP_DATA`, or `data` beside this file. Threads have the same environment. */
const data = process.env.SIGNUP_DATA ?? fileURLToPath(new URL('./data/', import.meta.url))
mkdirSync(join(data, 'emails'), { recursive: true })
mkdirSync(join(data, 'profiles'), { recursive: true })

/** A user, as the profile has it. */
export interface Profile {
  readonly user: string
  readonly name: string
  readonly email: string
}

/**
 * Claims an email address for a user; false when another user has it. Done again for the same user, it is true again:
 * a job whose thread died is run once more, and must not stumble over its own first try.
 */
export async function claimEmail(email: string, user: string): Promise<boolean> {
  // Text from a client is never a file name; its hash may be one.
  const file = join(data, 'emails', createHash('sha256').update(email).digest('hex'))
  try {
    await writeFile(file, user, { flag: 'wx' })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    return (await readFile(file, 'utf8')) === user
  }
}

/** Saves a profile. */
export async function saveProfile(profile: Profile): Promise<void> {
  await writeFile(profileFile(profile.user), JSON.stringify(profile))
}

/** Reads a profile; rejects when there is none. */
export async function readProfile(user: string): Promise<Profile> {
  return JSON.parse(await readFile(profileFile(user), 'utf8')) as Profile
}

/** Adds one line of JSON to the outbox or to the notes for the team. */
export async function appendLine(file: 'outbox' | 'team', line: object): Promise<void> {
  await appendFile(join(data, `${file}.jsonl`), `${JSON.stringify({ ...line, at: new Date() })}\n`)
}

function profileFile(user: string): string {
  return join(data, 'profiles', `${user}.json`)
}
