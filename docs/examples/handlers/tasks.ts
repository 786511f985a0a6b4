import { defineTask } from 'aftertask'
import { z } from 'zod'

// #region report
export const makeReport = defineTask({
  name: 'report.make',
  payload: z.object({ month: z.string().regex(/^\d{4}-\d\d$/), pages: z.int().default(3) }),
  result: z.object({ title: z.string(), pages: z.number() }),
  handler: new URL('./workers/make-report.ts', import.meta.url),
})
// #endregion report

// #region named
export const invert = defineTask({
  name: 'image.invert',
  payload: z.object({ pixels: z.instanceof(Uint8Array) }),
  handler: { module: new URL('./workers/image.ts', import.meta.url), export: 'invert' },
})
// #endregion named

// #region bare
export const cleanUp = defineTask({
  name: 'files.clean-up',
  handler: new URL('./workers/clean-up.ts', import.meta.url),
})
// #endregion bare
