/** The fenced code blocks of a Markdown text, with what the document says about each. */

/** One fenced block. */
export interface CodeBlock {
  /** Where it is, as `README.md:24`. */
  readonly place: string
  readonly language: string
  readonly code: string
  /** The HTML comment on the line above the fence, such as `run` or `file: examples/hello/server.ts`. */
  readonly mark: string
}

/** Reads a document's blocks, in order. A fence inside a list may be indented. */
export function codeBlocks(document: string, text: string): CodeBlock[] {
  const blocks: CodeBlock[] = []
  const lines = text.split('\n')
  for (let at = 0; at < lines.length; at++) {
    const open = /^(\s*)(`{3,}|~{3,})\s*(\S*)/.exec(lines[at] ?? '')
    if (open === null) continue
    const [, indent = '', fence = '', language = ''] = open
    const start = at
    const code: string[] = []
    for (at++; at < lines.length && (lines[at] ?? '').trim() !== fence; at++) {
      code.push((lines[at] ?? '').replace(new RegExp(`^\\s{0,${indent.length}}`), ''))
    }
    blocks.push({
      place: `${document}:${start + 1}`,
      language,
      code: code.join('\n'),
      mark: markAbove(lines, start),
    })
  }
  return blocks
}

function markAbove(lines: string[], start: number): string {
  let above = start - 1
  while (above >= 0 && (lines[above] ?? '').trim() === '') above--
  return /^\s*<!--\s*(.*?)\s*-->\s*$/.exec(lines[above] ?? '')?.[1] ?? ''
}

/**
 * What a file shows under a region's name, between `// #region name` and `// #endregion name`, moved to the left
 * edge; without a name, the whole file. Marker lines are left out. Null when there is no such region.
 */
export function region(text: string, name: string | undefined): string | null {
  const lines = text.split('\n')
  let part = lines
  if (name !== undefined) {
    const start = lines.findIndex((line) => line.trim() === `// #region ${name}`)
    const end = lines.findIndex((line) => line.trim() === `// #endregion ${name}`)
    if (start === -1 || end < start) return null
    part = lines.slice(start + 1, end)
  }
  const shown = part.filter((line) => !/^\s*\/\/ #(?:end)?region\b/.test(line))
  const indents = shown.filter((line) => line.trim() !== '').map((line) => /^ */.exec(line)?.[0].length ?? 0)
  const margin = Math.min(...indents)
  return shown
    .map((line) => line.slice(margin))
    .join('\n')
    .trim()
}

/** The commands of a shell block: without comments, a line that ends in `\` joined with the next. */
export function commands(code: string): string[] {
  return code
    .replace(/\\\n\s*/g, '')
    .split('\n')
    .map((line) => line.replace(/(?:^|\s)#.*$/, '').trim())
    .filter((line) => line !== '')
}

/** Whether an output is what a document shows; `...` in the document stands for anything. */
export function matchesShown(output: string, shown: string): boolean {
  const literal = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
  const pattern = shown.trim().split('...').map(literal).join('[\\s\\S]*?')
  return new RegExp(`^${pattern}$`).test(output.trim())
}
