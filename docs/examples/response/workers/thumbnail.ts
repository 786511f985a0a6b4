import { stat } from 'node:fs/promises'
import type { Handler } from 'aftertask'
import type { thumbnail } from '../tasks.ts'

const handler: Handler<typeof thumbnail> = async ({ file }) => `thumbnail of ${(await stat(file)).size} bytes`
export default handler
