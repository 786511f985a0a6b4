/**
 * What a store says when it does not do what it is asked, in a word, with what can be done about it. The error of a driver
 * stays in here: it may carry a password (ioredis keeps the arguments of `AUTH`) or a payload.
 */

import type { Secrets } from '../../../rules/secrets.ts'
import { BrokerUnavailableError } from '../../../words/errors.ts'

interface Kind {
  readonly reason: string
  /** It stays until somebody does something about it: to ask again at once is of no use. */
  readonly isPermanent?: true
  readonly remedy?: string
  /** Codes of PostgreSQL, of Node, and the first words of Redis. */
  readonly codes: readonly string[]
  readonly text?: RegExp
}

const RIGHTS = 'Give its user the rights that docs/guides/operating.md lists.'
// The first that fits counts.
const KINDS: readonly Kind[] = [
  {
    reason: 'unsupported',
    isPermanent: true,
    remedy:
      'It is a node of a Redis Cluster, which is not supported: use a single Redis, with Sentinel if it is to fail over.',
    codes: ['MOVED', 'ASK', 'CROSSSLOT', 'CLUSTERDOWN', 'TRYAGAIN'],
  },
  {
    reason: 'unsupported',
    isPermanent: true,
    remedy: 'Let pgbouncer pool by session, and connect with a user that it knows.',
    codes: [],
    text: /unsupported startup parameter|prepared statement .* does not exist/,
  },
  {
    reason: 'full',
    remedy: 'Give the store more room, or let it keep less.',
    codes: ['OOM', '53100', '53200', 'ENOSPC'],
  },
  { reason: 'io', remedy: 'Its log tells why it cannot write to its disk.', codes: ['MISCONF', '58030'] },
  {
    reason: 'read-only',
    remedy: 'It is a replica, or was made read-only: connect to the primary.',
    codes: ['READONLY', '25006'],
  },
  {
    reason: 'denied',
    isPermanent: true,
    remedy: 'Its password or its user is wrong.',
    codes: ['WRONGPASS', 'NOAUTH', '28P01', '28000'],
    text: /invalid password|client password must be|without any password configured/i,
  },
  {
    reason: 'denied',
    isPermanent: true,
    remedy: RIGHTS,
    codes: ['NOPERM', '42501'],
    text: /ERR unknown command|executing the script can't/,
  },
  {
    reason: 'missing',
    isPermanent: true,
    remedy: 'There is no such database: make it, or name another.',
    codes: ['3D000'],
    text: /DB index is out of range|invalid DB index/,
  },
  {
    reason: 'missing',
    isPermanent: true,
    remedy: 'A table or function of BullMQ is not where it is looked for: see docs/guides/operating.md.',
    codes: ['42P01', '42883', '42703', '3F000'],
  },
  {
    reason: 'connections',
    remedy: 'Let the server or its user have more connections, or give `connection` a smaller `max`.',
    codes: ['53300', '53400'],
    text: /max number of clients reached|no more connections allowed|timeout exceeded when trying to connect/,
  },
  {
    reason: 'certificate',
    isPermanent: true,
    remedy: 'Give `connection` a `tls` (ioredis) or `ssl` (pg) with the `ca` that has signed it.',
    codes: [
      ...['DEPTH_ZERO_SELF_SIGNED_CERT', 'SELF_SIGNED_CERT_IN_CHAIN', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
      ...['CERT_HAS_EXPIRED', 'ERR_TLS_CERT_ALTNAME_INVALID', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'EPROTO'],
    ],
    text: /does not support SSL/,
  },
]
// Where in a script of BullMQ's Redis has stopped says nothing to anybody.
const OF_SCRIPT = /\s*script: [0-9a-f]{40}, on @user_script:\d+\.?/
// Of all else that PostgreSQL says, what begins so is about the data that it was given.
const OF_DATA = /^(?:22|23|54)/

/** What went wrong, as everybody else hears of it. */
export class StoreFault extends BrokerUnavailableError {
  /** It stays until somebody does something about it. */
  readonly isPermanent: boolean

  constructor(reason: string, message: string, options: { cause?: unknown; isPermanent?: boolean } = {}) {
    super(reason, message, options)
    this.isPermanent = options.isPermanent === true
    // Nobody who reads the error needs it.
    Object.defineProperty(this, 'isPermanent', { enumerable: false })
  }

  override get name(): string {
    return 'BrokerUnavailableError'
  }
}

/** The fault that fits what a driver has thrown. */
export function toFault(error: unknown, secrets: Secrets): StoreFault {
  if (error instanceof StoreFault) return error
  const cause = plain(error, secrets)
  if (error instanceof BrokerUnavailableError)
    return new StoreFault(error.reason, error.message, { isPermanent: true })
  const code = codeOf(error, cause.message)
  const kind = KINDS.find(({ codes, text }) => codes.includes(code) || text?.test(cause.message))
  const { reason = hasAnswered(error) ? 'refused' : 'unreachable', remedy } = kind ?? {}
  const said = cause.message.replace(/[.\s]*$/, '.')
  const message = remedy === undefined ? cause.message : `${said} ${remedy}`
  return new StoreFault(reason, message, { cause, isPermanent: kind?.isPermanent === true })
}

/** Whether an error says something about the store, and not about what it was given or about the program. */
export function concernsStore(error: unknown): boolean {
  if (error instanceof TypeError || error instanceof RangeError || error instanceof SyntaxError) return false
  const message = messageOf(error)
  if (/^WRONGTYPE|^ERR string exceeds/.test(message)) return false
  return !(OF_DATA.test(codeOf(error, message)) && hasAnswered(error))
}

/** A server said it, and not the way to it. */
function hasAnswered(error: unknown): boolean {
  return read(error, 'name') === 'ReplyError' || read(error, 'severity') !== undefined
}

function codeOf(error: unknown, message: string): string {
  const code = read(error, 'code')
  return typeof code === 'string'
    ? code
    : (/^[A-Z]{2,}(?= )/.exec(message.replace(/^Ready check failed: /, ''))?.[0] ?? '')
}

/** The error with nothing in it but its words. */
function plain(error: unknown, secrets: Secrets): Error {
  const cause = new Error(secrets.hide(messageOf(error).replace(OF_SCRIPT, '')))
  const name = read(error, 'name')
  if (typeof name === 'string') Object.defineProperty(cause, 'name', { value: name, configurable: true })
  const code = codeOf(error, cause.message)
  return code === '' ? cause : Object.assign(cause, { code })
}

/** Of one that stands for several, such as of each address of a host, the words of each. */
function messageOf(error: unknown): string {
  const errors = read(error, 'errors')
  const message = read(error, 'message')
  if (typeof message === 'string' && message !== '') return message
  if (Array.isArray(errors)) return [...new Set(errors.map(messageOf))].join('; ')
  return typeof error === 'string' ? error : 'The store gave no reason.'
}

function read(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined
}
