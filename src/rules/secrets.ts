/**
 * What a connection holds that nobody is to read in a message, an event or a log: its password, in whatever form it was
 * given. Drivers put parts of what they were given into their errors.
 */

// A word so short would be found in the middle of others.
const SHORTEST = 3
const SECRET_OPTIONS = /pass|secret|token|auth|^key$|pfx/i

/** Hides the secrets of one connection. */
export class Secrets {
  /** The longest first: one may be a part of another. */
  readonly #words: readonly string[]

  /** `connection`: as `bullmqBroker` takes it. */
  constructor(connection: unknown) {
    const words = new Set<string>()
    collect(connection, words)
    this.#words = [...words].sort((one, other) => other.length - one.length)
  }

  /** A text without them. */
  hide(text: string): string {
    const shown = this.#words.reduce((rest, word) => rest.replaceAll(word, '***'), text)
    return shown.replace(/\b[a-z]+:\/\/\S*@/gi, (url) => withoutCredentials(url))
  }
}

/**
 * A URL without its credentials, also one that is none: all before the last `@` may be a password that holds an `@` or a
 * `/`, and a query may hold one.
 */
export function withoutCredentials(url: string): string {
  const plain = url.replace(/\?.*$/s, '?***')
  const at = plain.lastIndexOf('@')
  if (at === -1) return plain
  const scheme = /^[\w+.-]*:\/\//.exec(plain)?.[0] ?? ''
  return `${scheme}***${plain.slice(at)}`
}

function collect(value: unknown, words: Set<string>, isSecret = false): void {
  if (typeof value === 'string') {
    if (isSecret) add(value, words)
    else collectFromUrl(value, words)
  } else if (Array.isArray(value)) {
    for (const one of value) collect(one, words, isSecret)
  } else if (isPlain(value)) {
    for (const [key, one] of Object.entries(value)) collect(one, words, isSecret || SECRET_OPTIONS.test(key))
  }
}

function collectFromUrl(text: string, words: Set<string>): void {
  const scheme = /^[\w+.-]*:\/\//.exec(text)?.[0]
  if (scheme === undefined) return
  const end = text.lastIndexOf('@')
  if (end > scheme.length) {
    const credentials = text.slice(scheme.length, end)
    const colon = credentials.indexOf(':')
    if (colon !== -1) add(credentials.slice(colon + 1), words)
  }
  for (const [, key = '', value = ''] of text.matchAll(/[?&]([^=&]+)=([^&#]*)/g))
    if (SECRET_OPTIONS.test(key)) add(value, words)
}

function add(word: string, words: Set<string>): void {
  // A parser that takes a part of a password for a host or a port tells of that part.
  for (const part of [word, decoded(word), ...word.split(/[@/:#?]/)])
    if (part.length >= SHORTEST) words.add(part)
}

function decoded(word: string): string {
  try {
    return decodeURIComponent(word)
  } catch {
    return word
  }
}

function isPlain(value: unknown): value is object {
  const prototype: unknown =
    typeof value === 'object' && value !== null ? Object.getPrototypeOf(value) : undefined
  return prototype === Object.prototype || prototype === null
}
