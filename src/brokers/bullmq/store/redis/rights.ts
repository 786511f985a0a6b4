/**
 * The commands that BullMQ's scripts and ours run. A right that is missing is found at the start: a script that is denied a
 * command in its middle stops there, with half of its work done.
 */
import type { Redis } from 'ioredis'

// As they may be run on keys that hold nothing of value; what they answer does not matter.
const COMMANDS = [
  ...[
    'DEL k',
    'EXISTS k',
    'GET k',
    'HDEL k f',
    'HEXISTS k f',
    'HGET k f',
    'HGETALL k',
    'HINCRBY k f 1',
    'HLEN k',
  ],
  ...[
    'HMGET k f',
    'HMSET k f 1',
    'HSET k f 1',
    'INCR k',
    'INCRBY k 1',
    'LINDEX k 0',
    'LLEN k',
    'LPOP k',
    'LPOS k a',
  ],
  ...['LPUSH k a', 'LRANGE k 0 0', 'LREM k 0 a', 'LSET k 0 a', 'LTRIM k 0 0', 'PERSIST k', 'PEXPIRE k 1000'],
  ...['PEXPIREAT k 1', 'PTTL k', 'RENAME k k', 'RPOP k', 'RPOPLPUSH k k', 'RPUSH k a', 'SADD k a', 'SCARD k'],
  ...['SET k 1 PX 1000', 'SISMEMBER k a', 'SMEMBERS k', 'SREM k a', 'TIME', 'TYPE k', 'UNLINK k'],
  ...[
    'XADD k MAXLEN 1 * f 1',
    'XDEL k 0-1',
    'XLEN k',
    'XRANGE k - + COUNT 1',
    'XREAD STREAMS k 0',
    'XTRIM k MAXLEN 0',
  ],
  ...[
    'ZADD k 1 a',
    'ZCARD k',
    'ZCOUNT k 0 1',
    'ZLEXCOUNT k - +',
    'ZPOPMIN k',
    'ZRANGE k 0 0',
    'ZRANGEBYLEX k - +',
  ],
  ...[
    'ZRANGEBYSCORE k 0 1',
    'ZREM k a',
    'ZREMRANGEBYRANK k 0 0',
    'ZREMRANGEBYSCORE k 0 1',
    'ZREVRANGE k 0 0',
  ],
  ...['ZREVRANGEBYSCORE k 1 0', 'ZSCORE k a'],
]

const CHECK = `
local denied = {}
for _, line in ipairs(ARGV) do
  local words = {}
  for word in string.gmatch(line, '%S+') do words[#words + 1] = word == 'k' and KEYS[1] or word end
  redis.pcall('UNLINK', KEYS[1])
  local answer = redis.pcall(unpack(words))
  local text = type(answer) == 'table' and answer.err or ''
  if string.find(text, 'NOPERM') or string.find(text, 'permission') or string.find(text, "can't run this command") then
    denied[#denied + 1] = words[1]
  end
end
redis.pcall('UNLINK', KEYS[1])
return denied`

/** Rejects when the user of a connection may not run a command that is needed. `key`: one that nobody uses. */
export async function expectRights(redis: Redis, key: string): Promise<void> {
  const denied = (await redis.eval(CHECK, 1, key, ...COMMANDS)) as string[]
  if (denied.length > 0) throw new Error(`NOPERM this user has no permission to run ${denied.join(', ')}.`)
}
