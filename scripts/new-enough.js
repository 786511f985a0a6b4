/**
 * Ends a program that was started on a Node that is too old, with what to do about it. `node --import` loads it
 * before the program: an old Node could not even read the TypeScript, and would say something else.
 */
const wanted = { major: 22, minor: 18 }

/** @param {string} version */
export function isNewEnough(version) {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return major > wanted.major || (major === wanted.major && minor >= wanted.minor)
}

/** @param {string} version */
export function explain(version) {
  return `
aftertask needs Node ${wanted.major}.${wanted.minor} or newer, but this runs on Node ${version}.
Either install a newer Node on this machine, or let the one that comes with the dependencies be set up:
  npm ci --ignore-scripts=false
It is put in place by an install script: if yours are switched off (npm config get ignore-scripts), that is why.
`
}

if (!isNewEnough(process.versions.node) && process.execArgv.some((arg) => arg.includes('new-enough'))) {
  console.error(explain(process.versions.node))
  process.exit(1)
}
