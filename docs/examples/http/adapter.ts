import { createServer } from 'node:http'
import { createRuntime } from 'aftertask'
import { type After, openRequest } from 'aftertask/adapter'
import { note } from '../response/tasks.ts'

export const runtime = createRuntime({ tasks: [note], log: false })

/** A route of a framework whose handlers return their answer. */
async function route({ after }: { after: After }): Promise<{ status: number; body: string }> {
  after(note, 'from a framework of its own')
  return { status: 200, body: 'ok' }
}

// #region adapter
export const server = createServer((req, res) => {
  const request = openRequest(runtime, req, res)
  const handle = async (): Promise<void> => {
    const answer = await route({ after: request.after }).catch((error: Error) => {
      request.fail(error)
      return { status: 400, body: error.message }
    })
    request.status(answer.status) // known before the response has it
    res.writeHead(answer.status).end(answer.body)
  }
  request.follow(request.run(handle))
})
// #endregion adapter
