/** The statements of the journal, prepared once. Rows come as arrays, which cost a third of what objects cost. */
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import { KEY_SLACK } from '../../src/rules/journal-protocol.ts'

/** A statement whose rows are arrays. */
export interface ArrayStatement {
  iterate(...values: SQLInputValue[]): Iterable<readonly unknown[]>
  get(...values: SQLInputValue[]): readonly unknown[] | undefined
  all(...values: SQLInputValue[]): readonly (readonly unknown[])[]
  run(...values: SQLInputValue[]): { changes: number | bigint }
}

/** The columns of a whole job, in the order of `Row` without its id and its task's name. */
export const ROW_COLUMNS =
  'n, task, state, priority, accepted, ready, due, attempts, failures, crashes, suspect, key, unique_key, unique_until, payload, result, rest, finished, reason, error, progress'

/** Characters or bytes of a result or of progress that a list may have. */
const MOST_LISTED = 16_384
/** Bytes of a payload that is gone through for secrets. */
const MOST_READ = 2 ** 20

/** The same for a list, which has no large values, and payloads only to tell what is secret in what jobs say. */
const LISTED_COLUMNS = ROW_COLUMNS.replace(
  'payload',
  `CASE WHEN coalesce(error, reason, progress) IS NOT NULL AND length(payload) <= ${MOST_READ} THEN payload END`,
)
  .replace('result', `CASE WHEN length(result) <= ${MOST_LISTED} THEN result END`)
  .replace('progress', `CASE WHEN length(progress) <= ${MOST_LISTED} THEN progress END`)

/** A job that dies of waiting too long still has its time, should it be revived; that of a retry is none of its own. */
const KEPT_DUE = 'CASE WHEN ?1 = 9 AND state <> 5 THEN due END'

// A damaged row must not spoil the transaction that it is met in.
const REST = "CASE WHEN json_valid(rest) THEN rest ELSE '{}' END"
const ONE_REST = "CASE WHEN json_valid(one.rest) THEN one.rest ELSE '{}' END"
const JOB_REST = "CASE WHEN json_valid(jobs.rest) THEN jobs.rest ELSE '{}' END"

const SQL = {
  begin: 'BEGIN IMMEDIATE',
  commit: 'COMMIT',
  insert: `INSERT OR IGNORE INTO jobs (n, task, state, owner, rank, priority, accepted, ready, due, after, stops, key, line,
    unique_key, unique_until, expires, payload, rest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  chain: `SELECT finished, after, twin, CASE WHEN after IS NULL AND rest IS NOT NULL THEN json_extract(${REST}, '$.behind') END
    FROM jobs WHERE n = ?`,
  lastBefore: 'SELECT max(n) FROM jobs WHERE n < ?',
  isThere: 'SELECT 1 FROM jobs WHERE n = ?',
  facts:
    'SELECT task, state, owner, priority, due, after, key, line, rank, suspect FROM jobs WHERE n = ? AND finished IS NULL',
  // Another process may have been told that its queueTimeout has passed, and cannot end it once it is ours: then we are told.
  place: `UPDATE jobs SET state = ?, owner = ?, line = ?, rank = ?, ready = ?, due = ?, after = ?, started = NULL,
    expires = abs(expires) WHERE n = ?`,
  delay: "SELECT json_extract(rest, '$.delay') FROM jobs WHERE n = ? AND json_valid(rest)",
  setDue: 'UPDATE jobs SET due = ? WHERE n = ?',
  // Of a held job no delay is left to count from the end of its response.
  setHeldDue: `UPDATE jobs SET due = ?, rest = CASE WHEN rest IS NULL THEN NULL ELSE json_remove(${REST}, '$.delay') END WHERE n = ?`,
  setPayload: 'UPDATE jobs SET payload = ? WHERE n = ?',
  setRank: 'UPDATE jobs SET priority = ?, rank = ? WHERE n = ?',
  relink: 'UPDATE jobs SET after = ? WHERE n = ?',
  // Those behind a job wait for the one before it instead.
  passOver: 'UPDATE jobs SET after = (SELECT one.after FROM jobs AS one WHERE one.n = ?1) WHERE after = ?1',
  detach: 'UPDATE jobs SET after = NULL WHERE n = ?',
  // Its queueTimeout is put by: it counts again if the attempt does not start after all.
  mark: 'UPDATE jobs SET state = 4, attempts = ?, started = ?, expires = -abs(expires) WHERE n = ? AND owner = ? AND finished IS NULL',
  unmark:
    'UPDATE jobs SET state = 3, attempts = ?, started = NULL, expires = abs(expires) WHERE n = ? AND owner = ? AND finished IS NULL',
  retry:
    'UPDATE jobs SET state = 5, owner = 0, due = ?, attempts = ?, failures = ?, crashes = ?, error = ?, started = NULL, expires = NULL WHERE n = ?',
  // A job that has not run lets go of its unique key, also of one that is held for a time.
  // One that ends in the middle of its batch still tells who was before it: the next one may have been told to wait for it.
  finish: `UPDATE jobs SET state = ?1, owner = 0, payload = CASE WHEN ?1 = 9 THEN payload END, result = ?2, error = ?3,
    reason = ?4, attempts = coalesce(?5, attempts), failures = coalesce(?6, failures), crashes = coalesce(?7, crashes), started = ?8, finished = ?9, thread = ?10, cpu = ?11, ready = ?9,
    due = ${KEPT_DUE}, line = NULL, twin = NULL, expires = NULL,
    rest = CASE WHEN ?1 = 9 AND unique_key IS NOT NULL AND (unique_until IS NULL OR coalesce(?5, attempts) = 0)
      THEN json_set(${REST}, '$.uniqueKey', unique_key) ELSE rest END,
    unique_key = CASE WHEN unique_until > ?9 AND coalesce(?5, attempts) > 0 THEN unique_key END, shelf = ?13 WHERE n = ?12`,
  isSameEnd:
    'SELECT 1 FROM jobs WHERE n = ? AND state = ? AND attempts = coalesce(?, attempts) AND finished = ?',
  end: `UPDATE jobs SET state = ?1, owner = 0, payload = CASE WHEN ?1 = 9 THEN payload END, reason = ?2, error = ?3,
    crashes = coalesce(?4, crashes), twin = NULL, finished = ?5, ready = ?5, due = ${KEPT_DUE}, line = NULL, expires = NULL,
    rest = CASE WHEN ?1 = 9 AND unique_key IS NOT NULL AND (unique_until IS NULL OR attempts = 0)
      THEN json_set(${REST}, '$.uniqueKey', unique_key) ELSE rest END,
    unique_key = CASE WHEN unique_until > ?5 AND attempts > 0 THEN unique_key END, shelf = ?7 WHERE n = ?6`,
  progress: 'UPDATE jobs SET progress = ? WHERE n = ? AND owner = ?',
  twin: 'UPDATE jobs SET state = 1, owner = 0, after = ?, twin = ? WHERE n = ?',
  twins: 'SELECT n FROM jobs WHERE twin = ?',
  // Dead, it has the key on record that it takes should it be revived, as the other one has.
  endTwin: `UPDATE jobs SET (state, result, error, attempts, shelf) = (SELECT state, result, error, attempts, shelf FROM jobs WHERE n = ?1),
    rest = (SELECT CASE WHEN state = 9 AND json_extract(${ONE_REST}, '$.uniqueKey') IS NOT NULL
      THEN json_set(${JOB_REST}, '$.uniqueKey', json_extract(${ONE_REST}, '$.uniqueKey')) ELSE jobs.rest END
      FROM jobs AS one WHERE one.n = ?1),
    payload = CASE WHEN (SELECT state FROM jobs WHERE n = ?1) = 9 THEN payload END, reason = ?2, finished = ?3, ready = ?3,
    twin = NULL, expires = NULL WHERE n = ?4 RETURNING state, shelf`,
  hasTwins: 'SELECT 1 FROM jobs WHERE twin IS NOT NULL LIMIT 1',
  followers: 'SELECT n, stops, state FROM jobs WHERE after = ? AND twin IS NULL',
  holder: 'SELECT holder FROM lines WHERE key = ?',
  hold: 'INSERT INTO lines (key, holder) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET holder = excluded.holder',
  letGo: 'DELETE FROM lines WHERE key = ? AND holder = ?',
  lastInLine: 'SELECT max(line) FROM jobs WHERE key = ? AND line IS NOT NULL',
  nextInLine: 'SELECT n FROM jobs WHERE key = ? AND line IS NOT NULL ORDER BY line LIMIT 1',
  // A key that is held for a time is free when that has passed, over or not.
  freeUnique: `UPDATE jobs SET unique_key = NULL WHERE unique_key = ?1
    AND CASE WHEN unique_until IS NULL THEN finished IS NOT NULL ELSE unique_until <= ?2 + ${KEY_SLACK} END`,
  uniqueHolder: 'SELECT n FROM jobs WHERE unique_key = ?',
  holdUnique: 'UPDATE jobs SET unique_key = ? WHERE n = ? AND finished IS NULL',
  attempt: `INSERT INTO attempts (n, number, attempt, outcome, started, ended, thread, cpu, error)
    SELECT ?1, (SELECT coalesce(max(number) + 1, 0) FROM attempts WHERE n = ?1), ?2, ?3, ?4, ?5, ?6, ?7, ?8
    WHERE NOT EXISTS (SELECT 1 FROM attempts WHERE n = ?1 AND attempt = ?2 AND outcome = ?3 AND started IS ?4 AND ended IS ?5)`,
  trimAttempts:
    'DELETE FROM attempts WHERE n = ?1 AND number <= (SELECT max(number) FROM attempts WHERE n = ?1) - ?2',
  attempts:
    'SELECT attempt, outcome, started, ended, thread, cpu, error FROM attempts WHERE n = ? ORDER BY number',
  lastAttempt: 'SELECT attempts, state, started, finished, thread, cpu, reason FROM jobs WHERE n = ?',
  // It takes its unique key again, which it let go of when it died, unless another holds that now. One that ended as
  // another did has made none of that one's attempts.
  revive: `UPDATE jobs SET finished = NULL, failures = 0, crashes = 0, suspect = 0, after = NULL, reason = NULL, thread = NULL, cpu = NULL,
    attempts = CASE WHEN reason = ?2 THEN 0 ELSE attempts END,
    unique_key = CASE WHEN unique_key IS NULL AND NOT EXISTS
      (SELECT 1 FROM jobs AS other WHERE other.unique_key = json_extract(${JOB_REST}, '$.uniqueKey'))
      THEN json_extract(${REST}, '$.uniqueKey') ELSE unique_key END
    WHERE n = ?1 AND state = 9 AND finished IS NOT NULL`,
  // Nobody waits for a job that starts over, but those added to its batch later wait for the one that was before it.
  passBy: `UPDATE jobs SET rest = json_set(${REST}, '$.behind', ?) WHERE n = ?`,
  // Whoever has added it hears of its end first.
  remove:
    'DELETE FROM jobs WHERE n = ?1 AND finished IS NOT NULL AND NOT EXISTS (SELECT 1 FROM notices WHERE n = ?1)',
  removeAttempts: 'DELETE FROM attempts WHERE n = ?',
  log: `INSERT INTO logs (n, number, lines, bytes, dropped, text)
    SELECT ?1, (SELECT coalesce(max(number) + 1, 0) FROM logs WHERE n = ?1), ?2, ?3, ?4, ?5 FROM jobs WHERE n = ?1`,
  lastLog: 'SELECT text FROM logs WHERE n = ? ORDER BY number DESC LIMIT 1',
  logSizes: 'SELECT number, lines, bytes, dropped FROM logs WHERE n = ? ORDER BY number DESC',
  dropLogs: 'DELETE FROM logs WHERE n = ? AND number < ?',
  setDropped: 'UPDATE logs SET dropped = ? WHERE n = ? AND number = ?',
  logs: 'SELECT dropped, text FROM logs WHERE n = ? ORDER BY number',
  removeLogs: 'DELETE FROM logs WHERE n = ?',
  dueNow: 'SELECT n FROM jobs WHERE state IN (2, 5) AND due <= ? ORDER BY due, n LIMIT 1000',
  // A job that another process has is that one's to end.
  expiredNow: 'SELECT n FROM jobs WHERE expires > 0 AND expires <= ? AND owner IN (0, ?) LIMIT 1000',
  // Told, and not over until the event loop's side says so: a process that dies before that leaves it to the next.
  expiryTold: 'UPDATE jobs SET expires = -expires WHERE n = ?',
  expireAgain: 'UPDATE jobs SET expires = -expires WHERE expires < 0',
  nextDue: `SELECT (SELECT due FROM jobs WHERE state IN (2, 5) AND state = 2 ORDER BY due LIMIT 1),
    (SELECT due FROM jobs WHERE state IN (2, 5) AND state = 5 ORDER BY due LIMIT 1), (SELECT min(expires) FROM jobs WHERE expires > 0 AND owner IN (0, ?))`,
  spilled: 'SELECT n, rank FROM jobs WHERE task = ? AND state = 3 AND owner = 0 ORDER BY rank, n LIMIT ?',
  spilledCounts: 'SELECT task, count(*), min(rank) FROM jobs WHERE state = 3 AND owner = 0 GROUP BY task',
  // In the words of the partial indexes, so that they are used.
  unfinishedOf: `SELECT (SELECT count(*) FROM jobs WHERE owner <> 0 AND task = ?1)
    + (SELECT count(*) FROM jobs WHERE state = 3 AND owner = 0 AND task = ?1)
    + (SELECT count(*) FROM jobs WHERE state = 1 AND owner = 0 AND task = ?1)
    + (SELECT count(*) FROM jobs WHERE state IN (2, 5) AND owner = 0 AND task = ?1)`,
  names: 'SELECT id FROM names',
  allNames: 'SELECT id, name FROM names',
  grantedToOthers:
    'SELECT task, count(*) FROM jobs WHERE owner <> 0 AND state IN (3, 4) AND owner <> ? GROUP BY task',
  // As with `place`.
  take: 'UPDATE jobs SET owner = ?, expires = abs(expires) WHERE n = ? AND state = 3 AND owner = 0 RETURNING expires',
  isSameRetry: 'SELECT 1 FROM jobs WHERE n = ? AND failures = ? AND crashes = ?',
  reclaim:
    'UPDATE jobs SET state = 3, owner = ?, suspect = ?, crashes = ?, error = ?, started = NULL WHERE n = ?',
  giveUp: 'UPDATE jobs SET state = 3, owner = 0, started = NULL WHERE n = ?',
  // As `unmark`, for another process.
  giveBack: `UPDATE jobs SET state = 3, owner = 0, attempts = ?, started = NULL, expires = abs(expires)
    WHERE n = ? AND owner = ? AND finished IS NULL AND state IN (3, 4)`,
  running: 'SELECT attempts, crashes, started, error FROM jobs WHERE n = ?',
  owned: 'SELECT n, state FROM jobs WHERE owner = ? ORDER BY n',
  row: `SELECT ${ROW_COLUMNS} FROM jobs WHERE n = ?`,
  // Out of what the indexes hold.
  tally: `SELECT task, 3, count(*) FROM jobs INDEXED BY spilled WHERE state = 3 AND owner = 0 GROUP BY task
    UNION ALL SELECT task, state, count(*) FROM jobs INDEXED BY owned WHERE owner <> 0 GROUP BY task, state
    UNION ALL SELECT task, 1, count(*) FROM jobs INDEXED BY waiting WHERE state = 1 AND owner = 0 GROUP BY task
    UNION ALL SELECT task, state, count(*) FROM jobs INDEXED BY due WHERE state IN (2, 5) AND state IN (2, 5) GROUP BY task, state
    UNION ALL SELECT task, state, count(*) FROM jobs INDEXED BY ended WHERE finished IS NOT NULL AND state <> 9 GROUP BY task, state
    UNION ALL SELECT task, 9, count(*) FROM jobs INDEXED BY dead WHERE state = 9 GROUP BY task`,
  front: `SELECT ready FROM jobs WHERE n = (SELECT n FROM jobs INDEXED BY spilled WHERE state = 3 AND owner = 0 AND task = ?
    ORDER BY rank, n LIMIT 1)`,
  listed: `SELECT ${LISTED_COLUMNS} FROM jobs WHERE n = ?`,
  counts: `SELECT state, count(*) FROM jobs WHERE owner <> 0 GROUP BY state
    UNION ALL SELECT 3, count(*) FROM jobs WHERE state = 3 AND owner = 0
    UNION ALL SELECT 1, count(*) FROM jobs WHERE state = 1
    UNION ALL SELECT state, count(*) FROM jobs WHERE state IN (2, 5) GROUP BY state
    UNION ALL SELECT state, count(*) FROM jobs WHERE finished IS NOT NULL AND state <> 9 GROUP BY state
    UNION ALL SELECT 9, count(*) FROM jobs WHERE state = 9`,
  oldest:
    'SELECT n, state, shelf FROM jobs WHERE shelf = ? AND finished IS NOT NULL AND state <> 9 ORDER BY finished LIMIT ?',
  oldestBefore:
    'SELECT n, state, shelf FROM jobs WHERE shelf = ? AND finished < ? AND finished IS NOT NULL AND state <> 9 ORDER BY finished LIMIT ?',
  shelves:
    'SELECT shelf, count(*) FROM jobs WHERE shelf > 0 AND finished IS NOT NULL AND state <> 9 GROUP BY shelf',
  stateAndShelf: 'SELECT n, state, shelf FROM jobs WHERE n = ? AND finished IS NOT NULL',
  deadBefore: 'SELECT n, state, shelf FROM jobs WHERE finished < ? AND state = 9 ORDER BY finished LIMIT ?',
  notifyEnd:
    'INSERT INTO notices (run, kind, n) SELECT ?1, 0, ?2 FROM runs WHERE run = ?1 AND closed IS NULL',
  keepEnd: 'INSERT INTO notices (run, kind, n) VALUES (?, 0, ?) RETURNING id',
  notifyCancel: 'INSERT INTO notices (run, kind, n, text) VALUES (?, 1, ?, ?)',
  notices: 'SELECT id, kind, n, text FROM notices WHERE run = ? AND id > ? ORDER BY id',
  dropNotices: 'DELETE FROM notices WHERE run = ? AND id <= ?',
  dropEnd: 'DELETE FROM notices WHERE run = ? AND n = ? AND kind = 0 AND id <= ?',
  setAhead: 'UPDATE runs SET ahead = ? WHERE run = ?',
  ahead:
    'SELECT ahead, max(opened, seen, ifnull(closed, 0)) FROM runs WHERE run < ? ORDER BY run DESC LIMIT 1',
  // A queueTimeout that is put by is written as less than nothing.
  moveJobs:
    'UPDATE jobs SET rank = rank - ?1, accepted = accepted - ?1, ready = ready - ?1, due = due - ?1, unique_until = unique_until - ?1, expires = expires - sign(expires) * ?1, started = started - ?1, finished = finished - ?1',
  moveAttempts: 'UPDATE attempts SET started = started - ?1, ended = ended - ?1',
  putSchedule:
    // With ?4 one that is the same stays as it is.
    `INSERT INTO schedules (id, definition, next_at) VALUES (?1, ?2, ?3)
    ON CONFLICT (id) DO UPDATE SET definition = excluded.definition, next_at = excluded.next_at, turn = NULL
    WHERE ?4 = 0 OR schedules.definition <> excluded.definition`,
  removeSchedule: 'DELETE FROM schedules WHERE id = ?',
  // The turn of a process that is gone is over. One that ends too far from now was taken by another clock.
  takeTurn: `UPDATE schedules SET turn = ?1, turn_until = ?2 WHERE id = ?3 AND definition = ?4 AND next_at = ?5
    AND (turn IS NULL OR turn = ?1 OR turn_until <= ?6 OR turn_until > ?7 OR turn NOT IN (SELECT run FROM runs WHERE closed IS NULL))`,
  letTurn: 'UPDATE schedules SET turn = NULL WHERE id = ? AND definition = ? AND next_at = ? AND turn = ?',
  madeTurn: 'UPDATE schedules SET next_at = ?, turn = NULL WHERE id = ? AND definition = ? AND next_at = ?',
  schedulesVersion: "SELECT version FROM versions WHERE name = 'schedules'",
  schedules: 'SELECT id, definition, next_at FROM schedules ORDER BY id',
  prefix: 'SELECT prefix FROM runs WHERE run = ?',
  runsOfPrefix: 'SELECT run FROM runs WHERE prefix = ? ORDER BY run DESC',
  idOfName: 'SELECT id FROM names WHERE name = ?',
  nameOf: 'SELECT name FROM names WHERE id = ?',
  addName:
    'INSERT INTO names (name) VALUES (?) ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id',
} as const

/** Every statement by its name. */
export type Statements = Readonly<Record<keyof typeof SQL, ArrayStatement>>

/** Prepares them all. */
export function prepare(db: DatabaseSync): Statements {
  const made = Object.entries(SQL).map(([name, sql]) => [name, asArrays(db.prepare(sql))] as const)
  return Object.fromEntries(made) as Record<keyof typeof SQL, ArrayStatement>
}

/** Makes a statement's rows arrays. */
export function asArrays(statement: StatementSync): ArrayStatement {
  statement.setReturnArrays(true)
  return statement as unknown as ArrayStatement
}
