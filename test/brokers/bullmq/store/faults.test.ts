/** What drivers throw, as everybody else hears of it. */
import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { concernsStore, toFault } from '../../../../src/brokers/bullmq/store/faults.ts'
import { Secrets, withoutCredentials } from '../../../../src/rules/secrets.ts'

const none = new Secrets({})
const reply = (message: string): Error => Object.assign(new Error(message), { name: 'ReplyError' })
const sql = (code: string): Error => Object.assign(new Error('no'), { code, severity: 'ERROR' })

test.each<[error: Error, reason: string, isPermanent: boolean]>([
  [reply("OOM command not allowed when used memory > 'maxmemory'."), 'full', false],
  [reply('MISCONF Redis is configured to save RDB snapshots'), 'io', false],
  [reply("READONLY You can't write against a read only replica."), 'read-only', false],
  [reply("NOPERM User app has no permissions to run the 'eval' command"), 'denied', true],
  [reply("ERR The user executing the script can't run this command"), 'denied', true],
  [reply('NOAUTH Authentication required.'), 'denied', true],
  [new Error('Ready check failed: NOAUTH Authentication required.'), 'denied', true],
  [reply('MOVED 866 127.0.0.1:7001'), 'unsupported', true],
  [reply("CROSSSLOT Keys in request don't hash to the same slot"), 'unsupported', true],
  [reply('ERR max number of clients reached'), 'connections', false],
  [reply('BUSY Redis is busy running a script.'), 'refused', false],
  [sql('25006'), 'read-only', false],
  [sql('28P01'), 'denied', true],
  [sql('3D000'), 'missing', true],
  [sql('42501'), 'denied', true],
  [sql('53100'), 'full', false],
  [sql('53300'), 'connections', false],
  [new Error('timeout exceeded when trying to connect'), 'connections', false],
  [Object.assign(new Error('self-signed'), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' }), 'certificate', true],
  [Object.assign(new Error('connect'), { code: 'ECONNREFUSED' }), 'unreachable', false],
])('the store says "%s", which is "%s", for good: %s', (error, reason, isPermanent) => {
  const fault = toFault(error, none)
  expect(fault).toMatchObject({ code: 'ERR_BROKER_UNAVAILABLE', status: 503, reason, isPermanent })
  expect(fault.message).toContain(error.message.replace(/\.$/, ''))
})

test('what is wrong with the data of one write says nothing of the store', () => {
  for (const code of ['22P05', '23505', '54000']) expect(concernsStore(sql(code))).toBe(false)
  expect(concernsStore(new TypeError('not a function'))).toBe(false)
  expect(concernsStore(sql('25006'))).toBe(true)
})

test('an error of a driver shows neither its password nor what it was sent', () => {
  const connections = [
    'redis://app:p%40ss%2Fword@host:1/2',
    { host: 'host', password: 'p@ss/word', sentinelPassword: 'p@ss/word' },
    { connectionString: 'postgres://app:p@ss/word@host/db' },
  ]
  for (const connection of connections) {
    const command = { name: 'auth', args: ['app', 'p@ss/word'] }
    const error = Object.assign(reply('WRONGPASS for p@ss/word at ss'), { command, input: connection })
    const shown = inspect(toFault(error, new Secrets(connection)), { depth: 9 })
    expect(shown).toContain('WRONGPASS for *** at ')
    expect(shown).not.toMatch(/p@ss|p%40ss|word@/)
  }
})

test.each([
  ['redis://:secret@host:1', 'redis://***@host:1'],
  ['postgres://ada:se/cr@et@host/db?password=x', 'postgres://***@host/db?***'],
  ['redis://host', 'redis://host'],
])('of the URL %s is shown %s', (url, shown) => {
  expect(withoutCredentials(url)).toBe(shown)
})
