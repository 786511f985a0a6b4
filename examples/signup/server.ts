/** A signup: checked and answered at once; the profile, the mail and the note for the team follow. */
import { listen } from '../listen.ts'
import { app, runtime } from './app.ts'

const address = await listen(app, runtime)
console.log(`
signup listens on ${address}. Try, in another terminal:

  curl -d '{ "name": "Ada", "email": "ada@example.com" }' ${address}/signup
  curl -d '{ "name": "Ada", "email": "ada" }' ${address}/signup
  curl ${address}/jobs/JOB            state and result of a job that you were told

The mail is in examples/signup/data/outbox.jsonl.
`)
