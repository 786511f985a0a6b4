/** Polka 0.5, which ships no types: as much of it as the tests use. */
declare module 'polka-05' {
  import type { IncomingMessage, Server, ServerResponse } from 'node:http'

  interface Request extends IncomingMessage {
    originalUrl: string
    path: string
    params: Record<string, string>
    query: Record<string, string>
  }
  type Next = (error?: unknown) => unknown
  type Handler = (req: Request, res: ServerResponse, next: Next) => unknown
  interface App {
    readonly server?: Server
    use(...handlers: (Handler | App)[]): this
    use(base: string, ...handlers: (Handler | App)[]): this
    get(pattern: string, ...handlers: Handler[]): this
    head(pattern: string, ...handlers: Handler[]): this
    listen(port: number, host: string): this
  }
  export default function polka(options?: {
    onError?: (error: never, req: Request, res: ServerResponse, next: Next) => unknown
  }): App
}
