/** `npm run house`: the structure of the source in figures. The tests beside this file hold what must not get worse. */
import {
  circles,
  importGraph,
  optionalMembers,
  portInterfaces,
  rooms,
  sourceFiles,
  storeImports,
} from './structure.ts'
import { read } from './tree.ts'

const files = sourceFiles()
const sizes = rooms(files)
const lines = (folder: string): number =>
  sizes.filter((room) => room.folder.startsWith(folder)).reduce((sum, room) => sum + room.lines, 0)

console.table(
  sizes.map(({ folder, files: count, lines: total, longest, longestLines }) => ({
    folder,
    files: count,
    lines: total,
    longest: `${longest.slice(folder.length + 1)} (${longestLines})`,
  })),
)
console.log(
  `${files.length} files, ${lines('')} lines; src/brokers/bullmq: ${lines('src/brokers/bullmq')} lines`,
)
print(
  'Files over 400 lines',
  files.filter((file) => read(file).split('\n').length > 401),
)
print(
  'Circles of files',
  circles(importGraph(files)).map((circle) => circle.join(' ')),
)
const store = storeImports(files)
print(
  'Files outside src/brokers/bullmq/store that import bullmq, ioredis or pg',
  store.filter((file) => !file.startsWith('src/brokers/bullmq/store/')),
)
const port = portInterfaces()
print(
  `Optional members of the broker port (${port.map(({ name }) => name).join(', ')})`,
  port.flatMap(({ file, name }) => optionalMembers(file, name).map((member) => `${name}.${member}`)),
)

function print(what: string, list: readonly string[]): void {
  console.log(`\n${what}: ${list.length}${list.map((entry) => `\n  ${entry}`).join('')}`)
}
