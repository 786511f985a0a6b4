import type { Handler } from 'aftertask'
import type { countPrimes as task } from '../tasks.ts'

const countPrimes: Handler<typeof task> = ({ below }, ctx) => {
  const isComposite = new Uint8Array(below)
  let primes = 0
  for (let n = 2; n < below; n++) {
    if (isComposite[n] === 1) continue
    primes++
    if (primes % 1000 === 0) ctx.signal.throwIfAborted()
    for (let multiple = n * n; multiple < below; multiple += n) isComposite[multiple] = 1
  }
  return { primes, pid: process.pid }
}

export default countPrimes
