/** After which responses a job runs. */
import { describeValue } from '../words/describe.ts'
import type { ResponseFacts, When } from '../words/job.ts'
import { ignoreRejection, isThenable } from '../words/thenables.ts'

/** Why a job does not run after such a response; null when it does. A predicate that throws refuses. */
export function whyNot(when: When, facts: ResponseFacts): string | null {
  const hasFailed = facts.statusCode >= 500 || facts.error !== undefined
  switch (when) {
    case 'always':
      return null
    case 'ok':
      if (facts.error !== undefined) return `the request failed: ${nameOf(facts.error)}`
      return hasFailed ? `the response failed with status ${facts.statusCode}` : null
    case 'error':
      return hasFailed ? null : `the response did not fail (status ${facts.statusCode})`
    default:
      try {
        return ofPredicate(when(facts), facts)
      } catch (error) {
        return `${FAULTY} threw ${nameOf(error)}`
      }
  }
}

const FAULTY = 'its predicate'

function ofPredicate(answer: unknown, { statusCode, outcome }: ResponseFacts): string | null {
  if (answer === true) return null
  if (answer === false) return `its predicate refused the response (status ${statusCode}, ${outcome})`
  // A promise is true to whoever asks, and nobody would hear of its rejection.
  if (isThenable(answer)) ignoreRejection(answer)
  return `${FAULTY} returned ${describeValue(answer)}; expected true or false`
}

/** True when a job was skipped since its predicate is at fault, which somebody should see. */
export function isFaultOfPredicate(reason: string): boolean {
  return reason.startsWith(`${FAULTY} threw`) || reason.startsWith(`${FAULTY} returned`)
}

function nameOf(error: unknown): string {
  try {
    return error instanceof Error ? `${error.name}: ${error.message}` : String(error)
  } catch {
    // It may fight back, and nobody is there to take what this throws.
    return describeValue(error)
  }
}
