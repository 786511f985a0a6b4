/** The matrix of what each framework can promise, as the documents show it. */
import { cases } from './cases.ts'
import { faces } from './faces.ts'

/** The table in Markdown: a row for each promise, a column for each framework, a note where one promises something else. */
export function matrix(): string {
  const notes: string[] = []
  const mark = (promise: string): string => {
    if (!notes.includes(promise)) notes.push(promise)
    return String(notes.indexOf(promise) + 1)
  }
  const rows = cases.map(({ promise, instead }) => {
    const cells = faces.map(({ name }) => {
      const other = instead?.[name]
      return other === undefined ? 'yes' : mark(other.promise)
    })
    return `| ${promise} | ${cells.join(' | ')} |`
  })
  const names = faces.map(({ name }) => name)
  return [
    `| promise | ${names.join(' | ')} |`,
    `|---|${names.map(() => '---|').join('')}`,
    ...rows,
    '',
    ...notes.map((note, index) => `${index + 1}. Instead, ${note}.`),
  ].join('\n')
}
