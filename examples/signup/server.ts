/** A signup: checked and answered at once; the profile, the mail and the note for the team follow. */
import { createRuntime } from 'aftertask'
import { listen } from '../listen.ts'
import { signupApp } from './app.ts'
import { createProfile, notifyTeam, sendWelcome } from './tasks.ts'

const runtime = createRuntime({ tasks: [createProfile, sendWelcome, notifyTeam] })
const address = await listen(signupApp(runtime), runtime)
console.log(`
signup listens on ${address}. Try, in another terminal:

  curl -d '{ "name": "Ada", "email": "ada@example.com" }' ${address}/signup
  curl -d '{ "name": "Ada", "email": "ada" }' ${address}/signup
  curl ${address}/jobs/JOB            state and result of a job that you were told

The mail is in examples/signup/data/outbox.jsonl.
`)
