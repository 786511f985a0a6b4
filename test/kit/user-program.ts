/** A TypeScript program as a user has it: in a folder of its own, against the published declarations. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** One fault that the compiler tells: where, which, and the first line of what it says. */
export interface Fault {
  readonly file: string
  readonly line: number
  readonly code: string
  readonly message: string
}

/** Compiles a program with `tsc`, with what `tsc --init` sets and what `settings` changes of that. Returns the faults. */
export function compile(files: Readonly<Record<string, string>>, settings: object = {}): Fault[] {
  const folder = mkdtempSync(join(tmpdir(), 'aftertask-program-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  for (const name of [
    'aftertask',
    'zod',
    'polka',
    'express',
    'bullmq',
    'ioredis',
    'pg',
    '@types/node',
    '@types/pg',
  ]) {
    const link = join(folder, 'node_modules', name)
    mkdirSync(dirname(link), { recursive: true })
    symlinkSync(name === 'aftertask' ? root : join(root, 'node_modules', name), link)
  }
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ type: 'module', private: true }))
  const compilerOptions = {
    module: 'nodenext',
    target: 'es2022',
    lib: ['es2022'],
    types: ['node'],
    strict: true,
    noEmit: true,
    ...settings,
  }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: Object.keys(files) }))
  for (const [name, source] of Object.entries(files)) writeFileSync(join(folder, name), source)
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  const { stdout } = spawnSync(process.execPath, [tsc, '-p', '.', '--pretty', 'false'], {
    cwd: folder,
    encoding: 'utf8',
  })
  return [...stdout.matchAll(/^(\S+)\((\d+),\d+\): error (TS\d+): (.*)$/gm)].map(
    ([, file = '', line, code = '', message = '']) => ({ file, line: Number(line), code, message }),
  )
}
