/** GraphQL Yoga on node:http. */
// #region mount
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createRuntime, shutdown } from 'aftertask'
import { afterResponse, failed } from 'aftertask/http'
import { createSchema, createYoga } from 'graphql-yoga'
import { reportFailure, sendWelcome } from '../frameworks/tasks.ts'

export const runtime = createRuntime({ tasks: [sendWelcome, reportFailure] })
const jobs = afterResponse(runtime)
// #endregion mount

// #region add
const schema = createSchema<Context>({
  typeDefs: /* GraphQL */ `
    type Query { hello: String! }
    type Mutation { signup(to: String!): ID!, broken: Boolean }
  `,
  resolvers: {
    Query: { hello: () => 'Hello' },
    Mutation: {
      signup: (_root, { to }: { to: string }, { req }) => req.after('email.welcome', { to }).id,
      broken(_root, _args, { req }) {
        req.after('failure.report', { url: 'mutation broken' }, { when: 'error' })
        throw new Error('broken')
      },
    },
  },
})
// #endregion add

// #region failures
interface Context {
  req: IncomingMessage
  res: ServerResponse
}

/** GraphQL answers errors with 200: the request has failed all the same. */
const noticeErrors = {
  onExecute: ({ args }: { args: { contextValue: Context } }) => ({
    onExecuteDone({ result }: { result: unknown }) {
      const { errors } = result as { errors?: unknown[] }
      if (errors) failed(args.contextValue.res, errors[0])
    },
  }),
}
// #endregion failures

// #region stop
const yoga = createYoga<Context>({ schema, plugins: [noticeErrors], logging: 'error' })
export const server = createServer((req, res) => jobs(req, res, () => yoga(req, res)))
server.listen(Number(process.env.PORT ?? 3000), '127.0.0.1')
export const stopping = shutdown(server, runtime)
// #endregion stop
