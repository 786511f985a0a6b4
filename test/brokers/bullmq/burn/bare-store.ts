/** What bare BullMQ takes for a store. */
import { createPostgresBackend } from 'bullmq'
import pg from 'pg'

/** The connection and the backend of a URL. */
export function bareStore(url: string): { connection: unknown; factory: never; close: () => Promise<void> } {
  if (url.startsWith('postgres')) {
    const pool = new pg.Pool({ connectionString: url, options: '-c search_path=bullmq' })
    pool.on('error', () => {})
    return { connection: pool, factory: createPostgresBackend as never, close: () => pool.end() }
  }
  const { hostname, port } = new URL(url)
  const connection = { host: hostname, port: Number(port), maxRetriesPerRequest: null }
  return { connection, factory: undefined as never, close: () => Promise.resolve() }
}
