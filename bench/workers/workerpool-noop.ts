/** The empty job as workerpool wants it. */
import { worker } from 'workerpool'
import noop from './noop.ts'

worker({ noop })
