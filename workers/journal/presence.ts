/**
 * Which runs are open in this very process. A pid tells nothing there, and each journal has a thread with modules of its
 * own; but SQLite is one in the whole process, and a database in memory that has a name is seen by all of its threads. It
 * is gone with the thread that holds it, however that ends.
 */
import { DatabaseSync } from 'node:sqlite'

/** Says that a run is open here, for as long as what it returns is. */
export function announce(prefix: string): DatabaseSync {
  const db = new DatabaseSync(nameOf(prefix))
  db.exec('CREATE TABLE IF NOT EXISTS here (yes INTEGER)')
  return db
}

/** Whether a run of this process is open. */
export function isAnnounced(prefix: string): boolean {
  const db = new DatabaseSync(nameOf(prefix))
  try {
    return db.prepare('SELECT 1 FROM sqlite_schema').get() !== undefined
  } catch {
    // Whoever is there is just writing it.
    return true
  } finally {
    db.close()
  }
}

function nameOf(prefix: string): string {
  return `file:/aftertask-${encodeURIComponent(prefix)}?vfs=memdb`
}
