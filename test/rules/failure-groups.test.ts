import { expect, test } from 'vitest'
import { ownFrame, sameMessage } from '../../src/rules/failure-groups.ts'

test.each([
  ['Order 4711 of user 12 is gone', 'Order # of user # is gone'],
  ['connect ECONNREFUSED 127.0.0.1:6379', 'connect ECONNREFUSED #'],
  [
    "ENOENT: no such file or directory, open '/var/data/a-1.json'",
    "ENOENT: no such file or directory, open '#'",
  ],
  ['GET https://api.x.org/v1/users/7?q=1 answered 503', 'GET # answered #'],
  ['no mailbox ann.smith+7@mail.example.org', 'no mailbox #'],
  [
    'row 123e4567-e89b-12d3-a456-426614174000 is locked since 2026-01-02T03:04:05.678Z',
    'row # is locked since #',
  ],
  ['token ab12cd34ef56 and job_0001x are stale', 'token # and # are stale'],
  ['utf8 and sha256 stay, as does and/or', 'utf8 and sha256 stay, as does and/or'],
  ['first line\nsecond line 7', 'first line'],
])('the message %j is the same as others that say %j', (message, same) => {
  expect(sameMessage(message)).toBe(same)
})

test('the message of any length is made the same in time that hardly grows', () => {
  expect(sameMessage('a@'.repeat(100_000)).length).toBeLessThanOrEqual(500)
  expect(sameMessage('1-'.repeat(100_000)).length).toBeLessThanOrEqual(500)
})

test('the frame of the user is the first that is of no package, of Node or of this library', () => {
  const stack = [
    'Error: no',
    '    at node:internal/process/task_queues:105:5',
    '    at send (/app/node_modules/pg/lib/client.js:1:1)',
    '    at async Promise.all (index 0)',
    `    at run (${new URL('../../workers/handlers.ts', import.meta.url).pathname}:3:4)`,
    '    at charge (file:///app/tasks/charge.ts:12:9)',
    '    at main (/app/main.ts:1:1)',
  ].join('\n')
  expect(ownFrame(stack)).toBe('charge (file:///app/tasks/charge.ts:12:9)')
  expect(ownFrame('Error: no')).toBeUndefined()
  expect(ownFrame(undefined)).toBeUndefined()
})
