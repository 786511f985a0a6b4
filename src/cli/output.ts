/**
 * The terminal. Everything that a command writes passes through here, where it loses whatever could steer a terminal or deceive
 * its reader: jobs say what clients of the server have sent.
 */
import { styleText } from 'node:util'
import { toJson } from '../control/frames.ts'

/** How a piece of text may look. */
export type Look = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan'

/** A piece of text that has a look, where the terminal has colours. */
export interface Styled {
  readonly text: string
  readonly look: Look
}

/** What a line is made of. */
export type Piece = string | Styled

/** A piece of text with a look. */
export function styled(look: Look, text: string): Styled {
  return { look, text }
}

/**
 * A text of one line without control characters, ends of lines, marks of direction, invisible characters and halves of surrogate
 * pairs: each is written as `\uXXXX`, which in JSON is the same text.
 */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (character) => {
    const units = Array.from({ length: character.length }, (_, at) => character.charCodeAt(at))
    return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('')
  })
}

/** Where a command writes to. */
export class Output {
  readonly isTerminal: boolean
  readonly #stream: NodeJS.WriteStream

  constructor(stream: NodeJS.WriteStream = process.stdout) {
    this.#stream = stream
    this.isTerminal = stream.isTTY === true
    // Whoever reads may have seen enough, as `head` does.
    stream.on('error', () => process.exit(0))
  }

  /** Columns of the terminal; without one, as many as a text has. */
  get columns(): number {
    return this.isTerminal ? (this.#stream.columns ?? 80) : Number.POSITIVE_INFINITY
  }

  get rows(): number {
    return this.#stream.rows ?? 24
  }

  /** A line, cut at the end of the terminal's line where `isCut`. */
  line(pieces: readonly Piece[] | string, isCut = false): void {
    this.#stream.write(`${this.#rendered(pieces, isCut ? this.columns : Number.POSITIVE_INFINITY)}\n`)
  }

  /** A value as one line of JSON. */
  json(value: unknown): void {
    this.#stream.write(`${printable(toJson(value))}\n`)
  }

  /** A whole screen in place of the one before. */
  screen(lines: readonly (readonly Piece[])[]): void {
    const shown = lines.slice(0, Math.max(1, this.rows - 1))
    const text = shown.map((line) => `${this.#rendered(line, this.columns)}\u001b[K\n`).join('')
    this.#stream.write(`\u001b[?2026h\u001b[H${text}\u001b[J\u001b[?2026l`)
  }

  /** Takes the terminal over, or gives it back as it was. */
  takeOver(isOurs: boolean): void {
    this.#stream.write(isOurs ? '\u001b[?1049h\u001b[?25l' : '\u001b[?25h\u001b[?1049l')
  }

  /** Resolves once everything is written. */
  flushed(): Promise<void> {
    return new Promise((resolve) => {
      this.#stream.write('', () => resolve())
    })
  }

  /** The only place where an escape sequence meets a text: its own, around what is printable. */
  #rendered(pieces: readonly Piece[] | string, columns: number): string {
    let left = columns
    let text = ''
    for (const piece of typeof pieces === 'string' ? [pieces] : pieces) {
      const plain = typeof piece === 'string' ? piece : piece.text
      const shown = fitting(printable(plain), left)
      left -= widthOf(shown)
      text += typeof piece === 'string' ? shown : this.#withLook(piece.look, shown)
    }
    return text
  }

  #withLook(look: Look, text: string): string {
    return styleText(look, text, { stream: this.#stream, validateStream: true })
  }
}

/** As much of a text as columns hold, with a sign where something is missing. */
export function fitting(text: string, columns: number): string {
  if (columns === Number.POSITIVE_INFINITY || widthOf(text) <= columns) return text
  let shown = ''
  let width = 1
  for (const character of text) {
    width += widthOf(character)
    if (width > columns) break
    shown += character
  }
  return columns < 1 ? '' : `${shown}…`
}

// Letters of East Asia and pictures take two columns, marks above others none.
const WIDE =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Emoji_Presentation}\uff01-\uff60]/u
const NONE = /\p{M}/u

/** Columns that a text takes. */
export function widthOf(text: string): number {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: printable ASCII, one column each
  if (/^[\u0000-\u007f]*$/.test(text)) return text.length
  let width = 0
  for (const character of text) width += NONE.test(character) ? 0 : WIDE.test(character) ? 2 : 1
  return width
}
