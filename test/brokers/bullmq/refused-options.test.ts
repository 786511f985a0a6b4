/** What `bullmqBroker` says of options that it cannot take. No store is asked. */
import { expect, test } from 'vitest'
import { bullmqBroker } from '../../../src/brokers/bullmq.ts'
import { OptionsInvalidError } from '../../../src/words/errors.ts'

const connection = 'redis://127.0.0.1:1'

test.each<[options: unknown, path: string, message: RegExp]>([
  [undefined, '', /^bullmqBroker: the options are missing; expected an object, such as \{ connection,/],
  [connection, '', /^bullmqBroker: the options are a string; .*Write bullmqBroker\(\{ connection: url \}\)/],
  [{}, 'connection', /option "connection" is missing; expected a URL such as/],
  [{ connection: '' }, 'connection', /option "connection" is ""; expected a URL such as/],
  [{ connection: 6379 }, 'connection', /option "connection" is 6379; expected a URL such as/],
  [
    { connection: 'localhost:6379' },
    'connection',
    /is "localhost:6379"; .* Write redis:\/\/localhost:6379 or postgres:\/\/localhost:6379/,
  ],
  [
    { connection: 'mysql://ada:secret@db/jobs' },
    'connection',
    /is "mysql:\/\/\*\*\*@db\/jobs"; .* Or say which "store" it is/,
  ],
  [
    { connection: 'postgres://ada:se/cr@et@db:port/jobs?password=secret' },
    'connection',
    /is "postgres:\/\/\*\*\*@db:port\/jobs\?\*\*\*", which is no URL; .* with encodeURIComponent/,
  ],
  [
    { connection: { max: 1 }, store: 'postgres' },
    'connection.max',
    /option "connection.max" is 1; expected 3 or more: each queue waits on a connection of its own/,
  ],
  [{ connection, conection: 1 }, 'conection', /unknown option "conection"\. Did you mean "connection"/],
  [{ connection, store: 'mysql' }, 'store', /option "store" is "mysql"; expected 'redis' or 'postgres'/],
  [{ connection, prefix: 'a b' }, 'prefix', /expected 1 to 40 letters, digits, _ or -/],
  [{ connection, role: 'reader' }, 'role', /expected 'both', 'producer' or 'worker'/],
  [{ connection, pools: 'io' }, 'pools', /option "pools" is "io"; expected an array of pool names/],
  [{ connection, pools: [1] }, 'pools.0', /is 1; expected the name of a pool/],
  [{ connection, whenDown: 'wait' }, 'whenDown', /expected 'refuse' or 'buffer'/],
  [{ connection, buffer: 0 }, 'buffer', /expected a whole number of at least 1/],
  [{ connection, buffer: 1.5 }, 'buffer', /expected a whole number of at least 1/],
  [{ connection, lease: 100 }, 'lease', /is 100; expected milliseconds, 500 or more/],
  [{ connection, lease: '30s' }, 'lease', /is "30s"; expected milliseconds as a number/],
  [{ connection, patience: 0 }, 'patience', /expected milliseconds, 100 or more/],
  [{ connection, prefetch: -1 }, 'prefetch', /is -1; expected a whole number, 0 or more/],
])('bullmqBroker(%j) is refused, with the option "%s" and what to write', (options, path, message) => {
  const make = (): unknown => bullmqBroker(options as never)
  expect(make).toThrow(OptionsInvalidError)
  expect(make).toThrow(expect.objectContaining({ path, message: expect.stringMatching(message) }))
})

test('a password in a URL is repeated in no message', () => {
  for (const given of [
    'redis://:secret@127.0.0.1:1',
    { connection: 'mysql://ada:secret@db/jobs' },
    { connection: 'mysql://ada:s/e@secret@db' },
  ]) {
    const make = (): unknown => bullmqBroker(given as never)
    expect(make).toThrow(expect.objectContaining({ message: expect.not.stringContaining('secret') }))
  }
})
