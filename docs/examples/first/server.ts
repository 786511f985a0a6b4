import { createRuntime } from 'aftertask'
import { afterResponse } from 'aftertask/polka'
import polka from 'polka'
import { sendWelcome } from './tasks.ts'

export const runtime = createRuntime({ tasks: [sendWelcome] })
export const app = polka().use(afterResponse(runtime))

app.post('/signup', (req, res) => {
  const job = req.after(sendWelcome, { to: 'ada@example.com' }) // runs once this response is over
  res.writeHead(202).end(JSON.stringify({ job: job.id }))
})

const port = Number(process.env.PORT ?? 3000)
app.listen(port, () => console.log(`listening on http://localhost:${port}`))
