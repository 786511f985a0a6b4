/** Whether a value is a broker, by its members: rules may not know the port itself. */

const EXPECTED = 'expected a broker, such as sqliteBroker({ file })'

/** The methods of each capability of the port; `test/house` compares them with it. */
export const CAPABILITY_METHODS: Readonly<Record<string, readonly string[]>> = {
  intake: ['refusal', 'holderOf', 'takeKey', 'add', 'release', 'detach'],
  ready: ['peek', 'claim', 'sent', 'hold'],
  attempts: ['progress', 'log', 'putBack', 'retry', 'finish'],
  jobs: [
    'get',
    'find',
    'list',
    'search',
    'counts',
    'tally',
    'nextDue',
    'history',
    'logs',
    'isKept',
    'revive',
    'remove',
  ],
  changes: ['change'],
  durability: ['stored', 'pin', 'current', 'stats'],
  cluster: ['runs', 'cancelRemote', 'paused'],
}

// A broker that lacks one of these says null.
const MAY_LACK = ['changes', 'durability', 'cluster']

/** What a value lacks to be a broker, as it is told; undefined for a broker. */
export function whyNoBroker(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null) return EXPECTED
  const missing = missingMember(value)
  if (missing === undefined) return undefined
  // Somebody has begun to write one.
  return 'intake' in value ? `${EXPECTED}; this one has no ${missing}` : EXPECTED
}

function missingMember(broker: object): string | undefined {
  for (const method of ['open', 'close']) if (!hasMethod(broker, method)) return `${method}()`
  for (const [name, methods] of Object.entries(CAPABILITY_METHODS)) {
    const capability: unknown = Reflect.get(broker, name)
    if (capability === null && MAY_LACK.includes(name)) continue
    if (typeof capability !== 'object' || capability === null) return name
    const missing = methods.find((method) => !hasMethod(capability, method))
    if (missing !== undefined) return `${name}.${missing}()`
  }
  return undefined
}

function hasMethod(of: object, name: string): boolean {
  return typeof Reflect.get(of, name) === 'function'
}
