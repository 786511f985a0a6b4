/** The words after a command: read, and refused with the command's usage when they make no sense. */
import { type ParseArgsConfig, parseArgs } from 'node:util'
import { OptionsInvalidError } from '../words/errors.ts'

type Flags = NonNullable<ParseArgsConfig['options']>

/** What `parseArgs` reads, with an error that says how to call the command. */
export function readFlags<const T extends Flags>(
  args: readonly string[],
  options: T,
  usage: string,
): ReturnType<typeof parseArgs<{ options: T; allowPositionals: true }>> {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true })
  } catch (error) {
    // Node's own advice is about file names that begin with a dash.
    const [what = ''] = (error as Error).message.split('. To specify')
    throw new OptionsInvalidError(`${what.replace(/\.$/, '')}.\n\n${usage}`)
  }
}

/** A whole number of at least `least`. */
export function whole(name: string, text: string, least: number, usage: string): number {
  const value = Number(text)
  if (text !== '' && Number.isInteger(value) && value >= least) return value
  throw new OptionsInvalidError(
    `--${name} ${text}: expected a whole number, ${least} or more.\n\n${usage}`,
    name,
  )
}

/** A number above 0. */
export function positive(name: string, text: string | undefined, usage: string): number {
  const value = Number(text)
  if (text !== undefined && value > 0 && Number.isFinite(value)) return value
  throw new OptionsInvalidError(`--${name} must be a number above 0.\n\n${usage}`, name)
}
