import { createTestRuntime, isolationSuite } from 'aftertask/testing'
import * as tasks from './tasks.ts'

// #region suite
await using runtime = createTestRuntime({ tasks })
const report = await isolationSuite(runtime, {
  payloads: { 'page.render': { text: 'A title\nand more' }, 'words.count': { text: 'two words' } },
  throws: false, // or it would reject, with the report as its message
})
console.log(String(report))
// #endregion suite
