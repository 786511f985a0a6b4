import { describe, expect, test } from 'vitest'
import { read } from './tree.ts'

interface Entry {
  resolved?: string
  optionalDependencies?: Record<string, string>
}

const { packages } = JSON.parse(read('package-lock.json')) as { packages: Record<string, Entry> }

describe('the lockfile', () => {
  test('names every platform’s packages, so that npm ci accepts it everywhere', () => {
    const native = Object.values(packages)
      .flatMap((entry) => Object.entries(entry.optionalDependencies ?? {}))
      .filter(([name, version]) => /^\d/.test(version) && /\b(?:android|darwin|linux|win32)\b/.test(name))
    const missing = native.filter(([name]) => packages[`node_modules/${name}`] === undefined)
    // Run: node scripts/complete-lockfile.js
    expect(missing.map(([name]) => name)).toEqual([])
  })

  test('names no place to download from, so that each machine asks its own registry', () => {
    expect(Object.keys(packages).filter((place) => packages[place]?.resolved?.includes('://'))).toEqual([])
  })
})
