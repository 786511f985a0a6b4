import type { Handler } from 'aftertask'
import type { countPrimes } from '../tasks.ts'

const handler: Handler<typeof countPrimes> = ({ below }, ctx) => {
  let primes = 0
  for (let number = 2; number < below; number++) {
    if (isPrime(number)) primes++
  }
  ctx.progress(1)
  ctx.log.info('counted', { below })
  return primes
}
export default handler

function isPrime(number: number): boolean {
  for (let divisor = 2; divisor * divisor <= number; divisor++) {
    if (number % divisor === 0) return false
  }
  return true
}
