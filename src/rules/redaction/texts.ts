/** Hides secrets in texts: messages, stacks, what a handler prints. */
import type { SecretNames } from './names.ts'
import { HIDDEN } from './redact.ts'

// More than that in one payload is no list of secrets: then nothing of a text is shown.
const MOST = 1000

/** Hides the given words in texts, and what stands behind a secret name or is a password in a URL. */
export class TextRedaction {
  readonly #names: SecretNames
  /** Null: there are too many words, and no text is shown. */
  readonly #words: RegExp | null | undefined

  constructor(names: SecretNames, words: ReadonlySet<string>) {
    this.#names = names
    if (words.size > MOST) this.#words = null
    else if (words.size > 0) this.#words = patternOf(words)
  }

  /** False when nothing is to be hidden in the JSON text of a value, whatever its parts. */
  mayHideIn(json: string): boolean {
    return this.#words !== undefined || json.includes('://') || this.#names.mayBeIn(json)
  }

  hide(text: string): string {
    if (this.#words === null) return HIDDEN
    const shown = this.#words === undefined ? text : text.replace(this.#words, HIDDEN)
    if (this.#names.isEmpty) return shown
    return this.#names.hideIn(withoutPasswords(shown), HIDDEN)
  }
}

/** `https://user:password@host`: everything up to the last `@` that can belong to the same word. */
function withoutPasswords(text: string): string {
  if (!text.includes('@')) return text
  return text.replace(/(:\/\/[^\s/:@]{0,256}:)[^\s"'<>]{1,1024}@/g, `$1${HIDDEN}@`)
}

function patternOf(words: ReadonlySet<string>): RegExp {
  const forms = new Set<string>()
  for (const word of words)
    for (const form of [word, JSON.stringify(word).slice(1, -1), inUrl(word)]) forms.add(form)
  // The longest first: one may be a part of another.
  const sorted = [...forms].sort((one, other) => other.length - one.length)
  return new RegExp(sorted.map((word) => word.replace(/[$()*+.?[\\\]^{|}]/g, '\\$&')).join('|'), 'g')
}

function inUrl(word: string): string {
  try {
    return encodeURIComponent(word)
  } catch {
    // A lone surrogate stands in no URL.
    return word
  }
}
