/** The app of examples/frameworks, on NestJS: decorators need a build, `npx tsc -p examples/nest`. */
import 'reflect-metadata'
import { Body, ConflictException, Controller, Get, HttpCode, Injectable, Module, Post } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { Aftertask, AftertaskModule } from 'aftertask/nest'
import { runtime } from './tasks.ts'

export { runtime } from './tasks.ts'

// #region add
@Injectable()
class Signups {
  constructor(private readonly aftertask: Aftertask) {}

  add(to: string): { job: string } {
    const job = this.aftertask.after('email.welcome', { to })
    return { job: job.id }
  }

  fail(): never {
    this.aftertask.after('failure.report', { url: '/broken' }, { when: 'error' })
    throw new ConflictException('broken')
  }
}
// #endregion add

@Controller()
class Routes {
  constructor(private readonly signups: Signups) {}

  @Post('signup')
  @HttpCode(202)
  signup(@Body('to') to: string): { job: string } {
    return this.signups.add(to)
  }

  // #region failures
  @Get('broken')
  broken(): never {
    return this.signups.fail() // noticed, whatever an exception filter answers
  }
  // #endregion failures
}

// #region mount
@Module({
  imports: [AftertaskModule.forRoot({ runtime })],
  controllers: [Routes],
  providers: [Signups],
})
class App {}
// #endregion mount

// #region stop
const app = await NestFactory.create(App, { logger: ['error'] })
app.enableShutdownHooks() // SIGTERM closes the app, and the module stops the runtime
runtime.on('runtime:stopped', ({ lost }) => {
  if (lost > 0) process.exitCode = 1
})
await app.listen(Number(process.env.PORT ?? 3000), '127.0.0.1')
// #endregion stop
