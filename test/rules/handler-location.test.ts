import vm from 'node:vm'
import { describe, expect, test } from 'vitest'
import { defineTask } from '../../src/rules/task.ts'
import { OptionsInvalidError } from '../../src/words/errors.ts'

const file = new URL('./workers/name.js', import.meta.url)
const place = (handler: unknown): unknown => defineTask({ name: 't', handler: handler as URL }).handler

describe('the handler of a task', () => {
  test.each([
    ['a URL', file],
    ['the text of a URL', file.href],
    ['a URL of another realm', { href: file.href, toString: () => file.href }],
    [
      'a URL of another realm as the module',
      { module: vm.runInNewContext('({ href })', { href: file.href }) },
    ],
    ['a module and its default export', { module: file, export: 'default' }],
  ])('may be %s', (_, handler) => {
    expect(place(handler)).toEqual({ module: file.href, export: 'default' })
  })

  test.each([
    ['a path', './x.js', 'must be the URL of a file'],
    ['a URL with an escaped slash', new URL('file:///x/a%2Fb.js'), 'not the path of a file'],
    ['a URL of another host', new URL('file://host/x.js'), 'not the path of a file'],
    ['the text of such a URL', 'file:///x/a%2Fb.js', 'not the path of a file'],
    ['a module with an escaped slash', { module: 'file:///x/a%2Fb.js' }, 'not the path of a file'],
    ['the URL of a page', new URL('http://localhost:3000/x.js'), '@vitest-environment node'],
    [
      'the URL of a page of another realm',
      { href: 'http://localhost:3000/x.js' },
      '@vitest-environment node',
    ],
    ['a data URL', 'data:text/javascript,', 'must be the URL of a file'],
    ['an object with an unknown key', { file }, 'unknown key "file". Known: module, export'],
    ['an object without a module', {}, 'undefined; it must be the URL of a file'],
    ['an export that has no name', { module: file, export: '' }, 'expected the name of an export'],
    ['an export that is a function', { module: file, export: () => 1 }, 'expected the name of an export'],
    [
      'a hostile object',
      new Proxy(
        {},
        {
          get: () => {
            throw new Error('hostile')
          },
        },
      ),
      'cannot be read',
    ],
    ['null', null, 'handler'],
    ['a function', () => 1, 'handler'],
  ])('is refused when it is %s', (_, handler, message) => {
    expect(() => place(handler)).toThrow(OptionsInvalidError)
    expect(() => place(handler)).toThrow(message)
  })
})
