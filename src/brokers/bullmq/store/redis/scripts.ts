/**
 * What Redis does in one step, in Lua. A job ends by BullMQ's own script, which is made to take many jobs at a time: most
 * of what a job costs there is what every command costs, and what has to be done once for all of them, such as to remove
 * old jobs. BullMQ's scripts are known by what they are: of another one nobody knows where it looks for what.
 */
import { createHash } from 'node:crypto'
import type { Redis } from 'ioredis'

/** Scripts of BullMQ by their names without a version, from the moment that it has given them to this client. */
export type Scripts = ReadonlyMap<string, string>

/** Notes the scripts that BullMQ gives to a client. */
export function scriptsOf(redis: Redis): Scripts {
  const scripts = new Map<string, string>()
  const define = redis.defineCommand
  redis.defineCommand = (name, script) => {
    scripts.set(name.split(':')[0] ?? name, script.lua)
    define.call(redis, name, script)
  }
  return scripts
}

// What BullMQ 6.0 to 6.7 have: their keys and arguments are those that are used below.
const KNOWN: Readonly<Record<'moveToFinished' | 'promote', readonly string[]>> = {
  moveToFinished: ['71330ef7758a3fa9', '226600d3ccc54816', '8e744ec5d65dbe9e'],
  promote: ['06c562bf39eaaa21'],
}

/** A script of BullMQ's, if it is one of those that are known. */
function known(scripts: Scripts, name: keyof typeof KNOWN): string | undefined {
  const lua = scripts.get(name) ?? ''
  const hash = createHash('sha256').update(lua).digest('hex').slice(0, 16)
  return KNOWN[name].includes(hash) ? lua : undefined
}

/** The script that ends many jobs, made of BullMQ's; undefined when those are others than were known. */
export function endMany(scripts: Scripts): string | undefined {
  const finish = known(scripts, 'moveToFinished')
  const promote = known(scripts, 'promote')
  return finish === undefined || promote === undefined ? undefined : compose(finish, promote)
}

/** The key of a lock. In a cluster all keys of a lock would have to be on one node: the braces see to that. */
export function lockKey(prefix: string, lock: string): string {
  return `${prefix}:line:{${lock}}`
}

/** Lets a job join locks. Answers how it stands there. */
// Jobs are scored by when they joined a lock, each later than the one before it, so that the order is kept within a
// millisecond. Whoever looks at a lock takes out a head that is over, or that never came to its queue.
export const ENTER = `
local prefix, member, now, token = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local queueOf = function(member)
  local at = string.find(member, '|', 1, true)
  return prefix .. ':' .. string.sub(member, 1, at - 1) .. ':', string.sub(member, at + 1)
end
local queue, id = queueOf(member)
if token ~= '' and redis.call('GET', queue .. id .. ':lock') ~= token then return 'lost' end
local isOver = function(queue, id)
  return redis.call('ZSCORE', queue .. 'completed', id) or redis.call('ZSCORE', queue .. 'failed', id)
end
if isOver(queue, id) then return 'first' end
local isGone = function(head, since)
  local queue, id = queueOf(head)
  if redis.call('EXISTS', queue .. id) == 0 then return now - since > 30000 end
  return isOver(queue, id)
end
for at = 5, #ARGV do
  local lock = prefix .. ':line:{' .. ARGV[at] .. '}'
  if redis.call('EXISTS', lock .. ':stopped') == 1 then return 'stopped' end
  local last = tonumber(redis.call('ZREVRANGE', lock, 0, 0, 'WITHSCORES')[2] or 0)
  redis.call('ZADD', lock, 'NX', math.max(now, last + 0.01), member)
  while true do
    local head = redis.call('ZRANGE', lock, 0, 0, 'WITHSCORES')
    if head[1] == member then break end
    if not isGone(head[1], tonumber(head[2])) then return 'behind' end
    redis.call('ZREM', lock, head[1])
  end
end
return 'first'`

const LEAVING = `
local leaving = function(lock, member, isStopped)
  local wasFirst = redis.call('ZRANGE', lock, 0, 0)[1] == member
  redis.call('ZREM', lock, member)
  if isStopped then redis.call('SET', lock .. ':stopped', '1', 'PX', 86400000) end
  return wasFirst and redis.call('ZRANGE', lock, 0, 0)[1]
end`

/** Leaves a lock; answers who has become first by that. A job that was first already may wait for its time. */
export const LEAVE = `${LEAVING}
return leaving(KEYS[1], ARGV[1], ARGV[2] == '1')`

const TAKING = `
local take = function(queue, id, token, milliseconds)
  local isThere = redis.call('ZREM', queue .. 'delayed', id) == 1 or redis.call('ZREM', queue .. 'prioritized', id) == 1
    or redis.call('LREM', queue .. 'wait', 1, id) == 1
  if not isThere and redis.call('ZREM', queue .. 'waiting-children', id) == 1 then
    redis.call('ZREM', queue .. 'aside:' .. redis.call('HGET', queue .. id, 'name'), id)
    isThere = true
  end
  if not isThere then return false end
  redis.call('LPUSH', queue .. 'active', id)
  redis.call('SET', queue .. id .. ':lock', token, 'PX', milliseconds)
  return true
end`

/** Takes a job that no process runs; answers 1, or 0 when there is no such job. */
export const TAKE = `${TAKING}
return take(KEYS[1], ARGV[1], ARGV[2], ARGV[3]) and 1 or 0`

// Arguments of the script for each job.
const OF_EACH = 6

/**
 * The arguments: what is fixed, as JSON; then for each job its id, its token, its value, whether to claim another, its
 * state for BullMQ, and as JSON what it leaves behind, its locks, and how long its lease is to be if it has to be taken.
 */
function compose(finish: string, promote: string): string {
  const { functions, body } = parted(finish)
  return `
local fixed = cjson.decode(ARGV[1])
local queue, now = KEYS[1], ARGV[2]
local options = { name = fixed.name, keepJobs = fixed.keep, lockDuration = fixed.lease, attempts = 1, maxMetricsSize = '' }
local fields
local msgpack = cmsgpack
-- BullMQ packs what is plain here.
local cmsgpack = { pack = msgpack.pack, unpack = function(text)
  if text == 'options' then return options end
  if text == 'fields' then return fields end
  return msgpack.unpack(text)
end }
${LEAVING}
${TAKING}
local promote = function(KEYS, ARGV)
${promote}
end
local callNext = function(lock, member, isStopped)
  local head = leaving(lock, member, isStopped)
  if not head then return end
  local at = string.find(head, '|', 1, true)
  local of = fixed.prefix .. ':' .. string.sub(head, 1, at - 1) .. ':'
  -- It may be on its way into the queue, or running already: then there is nothing to do.
  promote({ of .. 'delayed', of .. 'wait', of .. 'paused', of .. 'meta', of .. 'prioritized', of .. 'active', of .. 'pc',
    of .. 'events', of .. 'marker' }, { of, string.sub(head, at + 1) })
end
${functions}
local finish = function(KEYS, ARGV)
${body}
end
local keys = { queue .. 'wait', queue .. 'active', queue .. 'prioritized', queue .. 'events', queue .. 'stalled',
  queue .. 'limiter', queue .. 'delayed', queue .. 'paused', queue .. 'meta', queue .. 'pc', '', '', '', queue .. 'marker' }
local keep, keepAll = fixed.keep, { count = -1 }
local endOne = function(id, token, value, fetch, state, more)
  keys[11], keys[12], keys[13] = queue .. state, queue .. id, queue .. 'metrics:' .. state
  more = more ~= '' and cjson.decode(more) or {}
  fields = more.stacktrace and { 'stacktrace', more.stacktrace }
  options.token = token
  if more.lease and not take(queue, id, token, more.lease) then return -3 end
  local field = state == 'failed' and 'failedReason' or 'returnvalue'
  local answer = finish(keys, { id, now, field, value, state, fetch, queue, 'options', fields and 'fields' or '' })
  if type(answer) == 'number' and answer < 0 then return answer end
  for _, lock in ipairs(more.locks or {}) do callNext(lock, fixed.of .. id, lock == more.stopped) end
  return answer
end
local answers = {}
for at = 3, #ARGV, ${OF_EACH} do
  -- Old jobs are removed once, with the last of them. A queue that keeps none removes each.
  local isLast = at + ${OF_EACH} > #ARGV
  options.keepJobs = (isLast or keep.count == 0) and keep or keepAll
  local isDone, answer = pcall(endOne, unpack(ARGV, at, at + ${OF_EACH - 1}))
  if not isDone and type(answer) ~= 'table' then answer = redis.error_reply(tostring(answer)) end
  answers[#answers + 1] = answer or 0
end
return answers`
}

/**
 * Forty functions come before what is done with a job: they are made once for all jobs. They end where the script first
 * looks at what it was called with.
 */
function parted(bullmqs: string): { functions: string; body: string } {
  const withoutComments = bullmqs.replace(/--\[\[.*?\]\]|--[^\n]*/gs, (comment) => ' '.repeat(comment.length))
  const first = withoutComments.search(/\b(KEYS|ARGV)\b/)
  const line = withoutComments.lastIndexOf('\n', first) + 1
  const isOutside = withoutComments.startsWith('local ', line)
  const at = isOutside ? line : 0
  return { functions: bullmqs.slice(0, at), body: bullmqs.slice(at) }
}
