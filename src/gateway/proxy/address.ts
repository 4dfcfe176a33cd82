import ipaddr from 'ipaddr.js'

const PLAIN = /^\d+\.\d+\.\d+\.\d+$/

type Address = ReturnType<typeof ipaddr.process>

/** Whether a text is an address or a range of them. */
export function isRange(text: string): boolean {
  return ipaddr.isValid(text) || ipaddr.isValidCIDR(text)
}

/** A test for addresses in any of some ranges; an IPv4 address within IPv6 counts as IPv4. */
export function ranges(texts: readonly string[]): (address: string) => boolean {
  if (texts.length === 0) return () => false
  const all = texts.map(text =>
    ipaddr.isValidCIDR(text) ? ipaddr.parseCIDR(text) : ([ipaddr.process(text), undefined] as const),
  )
  return address => {
    const parsed = parse(address)
    if (!parsed) return false
    return all.some(([range, bits]) => {
      if (range.kind() !== parsed.kind()) return false
      const width = bits ?? (range.kind() === 'ipv4' ? 32 : 128)
      return (parsed as ipaddr.IPv4).match(range as ipaddr.IPv4, width)
    })
  }
}

/** Whether an address is anything but one of the public internet: private, loopback, link-local, reserved… */
export function isPrivate(address: string): boolean {
  const parsed = parse(address)
  // `::127.0.0.1` and its like: deprecated, and in nobody's routing but one's own.
  return parsed?.range() !== 'unicast' || /^::\d/.test(address.replace(/^\[/, ''))
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || parse(host)?.range() === 'loopback'
}

/** An address that nobody knows: in no range that is allowed. */
export const UNKNOWN = 'unknown'

/** The caller's address: the last one in `X-Forwarded-For` that no trusted proxy has. */
export function callerAddress(
  peer: string,
  forwarded: string | null | undefined,
  isTrusted: (address: string) => boolean,
): string {
  let address = peer
  const hops = forwarded === null || forwarded === undefined ? [] : forwarded.split(',').map(hop => hop.trim())
  while (hops.length > 0 && isTrusted(address)) {
    const parsed = parse(withoutPort(hops.pop()!))
    // What is no address is nobody's: least of all the proxy's own.
    if (!parsed) return UNKNOWN
    address = parsed.toString()
  }
  // Nearly all are what they are.
  return PLAIN.test(address) ? address : (parse(address)?.toString() ?? address)
}

/** Whoever has an address of IPv6 has 2^64 of them: those of one network (/64) count as one. */
export function network(address: string): string {
  const parsed = address.includes(':') ? parse(address) : undefined
  if (parsed?.kind() !== 'ipv6') return address
  return `${(parsed as ipaddr.IPv6).parts
    .slice(0, 4)
    .map(part => part.toString(16))
    .join(':')}::/64`
}

/** Some proxies write `1.2.3.4:567`, or `[::1]:567`. */
function withoutPort(hop: string): string {
  return hop.replace(/^(\d+\.\d+\.\d+\.\d+):\d+$/, '$1').replace(/^\[(.*)\]:\d+$/, '$1')
}

function parse(address: string): Address | undefined {
  const bare = address.replace(/^\[|\]$/g, '').split('%', 1)[0]!
  return ipaddr.isValid(bare) ? ipaddr.process(bare) : undefined
}
