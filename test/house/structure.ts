/** The structure of the source in figures: files, lines, circles, what reaches a store, what the broker's port leaves open. */
import { importsOf, projectFiles, read, resolveImport, withoutComments } from './tree.ts'

/** The files of one folder: how many, and how many lines. */
export interface Room {
  readonly folder: string
  readonly files: number
  readonly lines: number
  /** The longest file, and its lines. */
  readonly longest: string
  readonly longestLines: number
}

/** Every source file of the library. */
export function sourceFiles(): string[] {
  return projectFiles(/^(?:src|workers)\/.*\.ts$/)
}

/** Which source files each source file imports, types included. */
export function importGraph(files = sourceFiles()): Map<string, string[]> {
  const known = new Set(files)
  return new Map(
    files.map((file) => {
      const targets = importsOf(read(file)).map((specifier) => resolveImport(file, specifier))
      return [file, targets.filter((target) => target !== null && known.has(target))] as [string, string[]]
    }),
  )
}

/** The circles of files: sets in which each file imports its way back to itself. Tarjan's algorithm. */
export function circles(graph: ReadonlyMap<string, readonly string[]>): string[][] {
  const found: string[][] = []
  const index = new Map<string, number>()
  const low = new Map<string, number>()
  const stack: string[] = []
  const visit = (file: string): void => {
    index.set(file, index.size)
    low.set(file, index.get(file) as number)
    stack.push(file)
    for (const target of graph.get(file) ?? []) {
      if (!index.has(target)) {
        visit(target)
        low.set(file, Math.min(low.get(file) as number, low.get(target) as number))
      } else if (stack.includes(target)) {
        low.set(file, Math.min(low.get(file) as number, index.get(target) as number))
      }
    }
    if (low.get(file) !== index.get(file)) return
    const members = stack.splice(stack.indexOf(file))
    if (members.length > 1) found.push(members.sort((a, b) => a.localeCompare(b)))
  }
  for (const file of graph.keys()) if (!index.has(file)) visit(file)
  return found.sort(([a = ''], [b = '']) => a.localeCompare(b))
}

/** The folders of the source with their sizes, in the order of their names. */
export function rooms(files = sourceFiles()): Room[] {
  const folders = new Map<string, { file: string; lines: number }[]>()
  for (const file of files) {
    const folder = file.slice(0, file.lastIndexOf('/'))
    const lines = read(file).split('\n').length - 1
    folders.set(folder, [...(folders.get(folder) ?? []), { file, lines }])
  }
  return [...folders]
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([folder, members]) => {
      const longest = members.reduce((most, next) => (next.lines > most.lines ? next : most))
      return {
        folder,
        files: members.length,
        lines: members.reduce((sum, { lines }) => sum + lines, 0),
        longest: longest.file,
        longestLines: longest.lines,
      }
    })
}

/** The files that import the package of a store, or one that reaches it. */
export function storeImports(files = sourceFiles()): string[] {
  return files.filter((file) =>
    importsOf(read(file)).some((specifier) => /^(?:bullmq|ioredis|pg)$/.test(specifier)),
  )
}

/** The interfaces of the broker port that have methods: the broker, its capabilities, its host. */
export function portInterfaces(): { readonly file: string; readonly name: string }[] {
  return projectFiles(/^src\/brokers\/port\/[^/]+\.ts$/).flatMap((file) => {
    const code = withoutComments(read(file))
    return [...code.matchAll(/^export interface (\w+) \{\n([\s\S]*?)^\}/gm)]
      .filter(([, , body = '']) => /^ {2}\w+\??\(/m.test(body))
      .map(([, name = '']) => ({ file, name }))
  })
}

/** The methods of an interface. */
export function methodsOf(file: string, name: string): string[] {
  const code = withoutComments(read(file))
  const start = code.indexOf(`export interface ${name} `)
  const body = code.slice(start, code.indexOf('\n}', start))
  return [...body.matchAll(/^ {2}(\w+)\??\(/gm)].map(([, method = '']) => method)
}

/** The optional members of an interface: `name?:` and `name?(`. */
export function optionalMembers(file: string, name: string): string[] {
  const code = withoutComments(read(file))
  const start = code.indexOf(`export interface ${name} `)
  if (start < 0) return []
  const body = code.slice(start, code.indexOf('\n}', start))
  return [...body.matchAll(/^ {2}(?:readonly )?(\w+)\?[:(]/gm)].map(([, member = '']) => member)
}
