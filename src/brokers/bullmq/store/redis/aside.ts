/**
 * Jobs that are set aside in Redis: of a task that whoever fetched them does not have. They lie among BullMQ's
 * `waiting-children`, from which nothing is fetched, and for each task in a set of their own, best first, from which a process
 * that has the task takes them.
 */

/** Of those that wait behind a job that is set aside, so many are looked at for others of its task. */
const SWEPT = 100

/** Sets a job aside that lies under a token, and others of its task with it; answers 1, or 0 when it does not lie there. */
export const SET_ASIDE = `
local queue, id, token, task, now = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if redis.call('GET', queue .. id .. ':lock') ~= token then return 0 end
if redis.call('LREM', queue .. 'active', 1, id) == 0 then return 0 end
redis.call('DEL', queue .. id .. ':lock')
redis.call('SREM', queue .. 'stalled', id)
local setAside = function(id)
  local seen = redis.call('HMGET', queue .. id, 'priority', 'timestamp')
  local age = math.floor((tonumber(seen[2]) or 0) / 1000) - 1600000000
  redis.call('ZADD', queue .. 'waiting-children', now, id)
  redis.call('ZADD', queue .. 'aside:' .. task, (tonumber(seen[1]) or 0) * 2147483648 + age, id)
end
setAside(id)
for _, other in ipairs(redis.call('ZRANGE', queue .. 'prioritized', 0, ${SWEPT - 1})) do
  if redis.call('HGET', queue .. other, 'name') == task then
    redis.call('ZREM', queue .. 'prioritized', other)
    setAside(other)
  end
end
for _, other in ipairs(redis.call('LRANGE', queue .. 'wait', -${SWEPT}, -1)) do
  if redis.call('HGET', queue .. other, 'name') == task then
    redis.call('LREM', queue .. 'wait', -1, other)
    setAside(other)
  end
end
return 1`

/**
 * Claims jobs that were set aside. The arguments: the time, the length of a lease, the name of who claims, how many tokens
 * there are, the tokens, the tasks. Answers the id, the token and the fields of each job.
 */
export const CLAIM_ASIDE = `
local queue, now, lease, name, tokens = KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local taken = {}
if redis.call('EXISTS', queue .. 'waiting-children') == 0 then return taken end
local task = 5 + tokens
for at = 5, 4 + tokens do
  local id
  while not id and task <= #ARGV do
    local first = redis.call('ZPOPMIN', queue .. 'aside:' .. ARGV[task])[1]
    if not first then task = task + 1
    -- One that has been ended since is not there any more.
    elseif redis.call('ZREM', queue .. 'waiting-children', first) == 1 then id = first end
  end
  if not id then break end
  redis.call('LPUSH', queue .. 'active', id)
  redis.call('SET', queue .. id .. ':lock', ARGV[at], 'PX', lease)
  redis.call('HSET', queue .. id, 'processedOn', now, 'pb', name)
  redis.call('HINCRBY', queue .. id, 'ats', 1)
  taken[#taken + 1] = { id, ARGV[at], redis.call('HGETALL', queue .. id) }
end
return taken`
