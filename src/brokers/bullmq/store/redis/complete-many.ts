/**
 * BullMQ's script that completes a job in Redis, made to complete many in one command. Most of what a job costs there is
 * what every command costs, on both sides of the connection, and what has to be done once for all of them: to find out
 * whether the queue is paused, for one, or to remove old jobs. What is done with each job stays BullMQ's own code.
 */
import type { Redis } from 'ioredis'
import type { Completion } from '../shared-store.ts'

/** A script as BullMQ gives it to the client. */
export interface Script {
  readonly lua: string
  readonly numberOfKeys?: number
}

/** What BullMQ's script is called with: its keys, then its other arguments. */
export type Arguments = readonly (string | number | boolean | Buffer | undefined)[]

/** BullMQ's scripts by their names without a version, from the moment that it has given them to this client. */
export function scriptsOf(redis: Redis): ReadonlyMap<string, Script> {
  const scripts = new Map<string, Script>()
  const define = redis.defineCommand
  redis.defineCommand = (name, script) => {
    scripts.set(name.split(':')[0] ?? name, script)
    define.call(redis, name, script)
  }
  return scripts
}

// Where BullMQ's script finds what differs from job to job. The rest is taken over as it is.
const KEYS = 14
const OTHERS = 9
const KEY_OF_JOB = 11
const [ID, TIME, VALUE, FETCH, PREFIX, OPTIONS] = [0, 1, 3, 5, 6, 7] as const

/** What an example is asked for with. */
export const EXAMPLE = { id: 'id', token: 'token', value: 'value' } as const

/** Whether BullMQ's script takes what is known here: its arguments for the example tell. */
export function isKnown(args: Arguments): boolean {
  const [key, ...others] = [args[KEY_OF_JOB], ...args.slice(KEYS)]
  return (
    args.length === KEYS + OTHERS &&
    others[ID] === EXAMPLE.id &&
    typeof others[TIME] === 'number' &&
    others[VALUE] === EXAMPLE.value &&
    others[FETCH] === 1 &&
    key === `${others[PREFIX]}${EXAMPLE.id}` &&
    Buffer.isBuffer(others[OPTIONS]) &&
    others[OPTIONS].includes(EXAMPLE.token)
  )
}

/** The arguments for many jobs: those of the example, then four for each job. */
export function argumentsFor(example: Arguments, jobs: readonly Completion[]): (string | number | Buffer)[] {
  const args = [...example] as (string | number | Buffer)[]
  args[KEYS + TIME] = Date.now()
  for (const { id, token, result, fetchNext } of jobs) {
    args.push(id, token, JSON.stringify(result), fetchNext ? '1' : '0')
  }
  return args
}

/** BullMQ's script for one job as one for many. It answers with the answer for each: a fault of one is no other's. */
export function completeMany(bullmqs: string): string {
  const { functions, body } = parted(bullmqs)
  // BullMQ takes the options apart for every job. They differ in the token alone, and are taken apart once.
  return `
local options
local msgpack = cmsgpack
local cmsgpack = { pack = msgpack.pack, unpack = function(text)
  if text == 'options' then return options end
  return msgpack.unpack(text)
end }
${functions}
local complete = function(KEYS, ARGV)
${body}
end
local keys, given = {}, {}
for i = 1, ${KEYS} do keys[i] = KEYS[i] end
for i = 1, ${OTHERS} do given[i] = ARGV[i] end
options = msgpack.unpack(given[${OPTIONS + 1}])
given[${OPTIONS + 1}] = 'options'
local keep, keepAll = options.keepJobs, { count = -1 }
local answers = {}
for i = ${OTHERS + 1}, #ARGV, 4 do
  keys[${KEY_OF_JOB + 1}] = given[${PREFIX + 1}] .. ARGV[i]
  given[${ID + 1}], options.token, given[${VALUE + 1}], given[${FETCH + 1}] = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  -- Old jobs are removed once, with the last of them. A queue that keeps none removes each.
  local isLast = i + 4 > #ARGV
  options.keepJobs = (isLast or keep.count == 0) and keep or keepAll
  local isDone, answer = pcall(complete, keys, given)
  if not isDone and type(answer) ~= 'table' then answer = redis.error_reply(tostring(answer)) end
  answers[#answers + 1] = answer or 0
end
return answers`
}

/**
 * Forty functions come before what is done with a job: they are made once for all jobs. They end where the script first
 * looks at what it was called with; a script that is not laid out like that is taken as a whole.
 */
function parted(bullmqs: string): { functions: string; body: string } {
  const withoutComments = bullmqs.replace(/--\[\[.*?\]\]|--[^\n]*/gs, (comment) => ' '.repeat(comment.length))
  const first = withoutComments.search(/\b(KEYS|ARGV)\b/)
  const line = withoutComments.lastIndexOf('\n', first) + 1
  const isOutside = withoutComments.startsWith('local ', line)
  const at = isOutside ? line : 0
  return { functions: bullmqs.slice(0, at), body: bullmqs.slice(at) }
}
