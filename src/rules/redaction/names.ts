/** Names of properties whose values nobody is to read in a log, a trace, a list or on a page. */

/** Hidden unless the runtime says otherwise; also as the end of a longer name: `accessToken`, `db_password`, `X-Api-Key`. */
const ENDS = [
  ...['password', 'passwd', 'passphrase', 'secret', 'token', 'authorization', 'cookie', 'cookies'],
  ...['apikey', 'accesskey', 'privatekey', 'secretkey', 'credential', 'credentials', 'sessionid'],
  ...['cardnumber', 'creditcard', 'securitycode'],
]
/** The same, but alone: at the end of other words they mean something else. */
const WHOLE = ['pass', 'pwd', 'jwt', 'cvv', 'cvc', 'otp', 'ssn']

// A payload may have any number of keys: what was found of them is remembered within bounds.
const MOST_REMEMBERED = 2000

/** Tells secret names from others. `card_number`, `cardNumber` and `Card-Number` are one name. */
export class SecretNames {
  readonly #whole: ReadonlySet<string>
  readonly #ends: readonly string[]
  readonly #known = new Map<string, boolean>()
  #inText: RegExp | undefined

  /** `names`: besides the default ones; without `defaults` these alone. */
  constructor(names: readonly string[] = [], defaults = true) {
    this.#ends = defaults ? ENDS : []
    const others = [...(defaults ? WHOLE : []), ...names.map(plain).filter((name) => name !== '')]
    this.#whole = new Set([...this.#ends, ...others])
  }

  /** True when there are none: nothing is hidden for its name. */
  get isEmpty(): boolean {
    return this.#whole.size === 0
  }

  has(key: string): boolean {
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const name = plain(key)
    const isSecret = this.#whole.has(name) || this.#ends.some((end) => name.endsWith(end))
    if (this.#known.size < MOST_REMEMBERED) this.#known.set(key, isSecret)
    return isSecret
  }

  /** True when a JSON text may hold one of them as a key. It says so of some texts that hold none. */
  mayBeIn(json: string): boolean {
    if (this.isEmpty) return false
    return this.#pattern.test(json)
  }

  /** A text without what stands behind such a name: `password=...`, `"token": "..."`. */
  hideIn(text: string, mark: string): string {
    if (this.isEmpty || !/[=:]/.test(text)) return text
    const named = new RegExp(`(?:${this.#pattern.source})(?:=|\\\\?["']\\s{0,2}:\\s{0,2}\\\\?["'])`, 'gi')
    let hidden = ''
    let at = 0
    for (const found of text.matchAll(named)) {
      const begin = found.index + found[0].length
      if (begin < at) continue
      const value = VALUE.exec(text.slice(begin, begin + LONGEST))?.[0] ?? ''
      if (value === '') continue
      hidden += text.slice(at, begin) + mark
      at = begin + value.length
    }
    return at === 0 ? text : hidden + text.slice(at)
  }

  /** Letters of a name may stand apart: `api_key`, `api-key`. */
  get #pattern(): RegExp {
    this.#inText ??= new RegExp(
      [...this.#whole].map((name) => [...name].map(escaped).join('[_\\-]?')).join('|'),
      'i',
    )
    return this.#inText
  }
}

/** What counts as a value in a text, and how much of it is looked at. */
const VALUE = /^(?:(?:bearer|basic)\s)?[^\s"'&,;)}\]\\]+/i
const LONGEST = 4096

function plain(name: string): string {
  return name.toLowerCase().replace(/[^\p{L}\p{N}]/gu, '')
}

function escaped(text: string): string {
  return text.replace(/[$()*+.?[\\\]^{|}]/g, '\\$&')
}
