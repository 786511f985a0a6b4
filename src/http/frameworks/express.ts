/** aftertask/express: jobs after the response, for Express 5. */
// Loads the types of Node where `tsc --init` has set `types: []`: `req.after` is declared on its requests.
/// <reference types="node" preserve="true" />
export type {
  After,
  AfterResponse,
  AfterResponseOptions,
  AnyRequest,
  AnyResponse,
  ErrorMiddleware,
  Outcome,
  ReadBaggage,
  TryAfter,
} from '../index.ts'
export { afterResponse, failed } from '../index.ts'
