import type { AddressesConfig } from '../config/config.js'
import { ranges } from '../proxy/address.js'
import type { Policy } from './policy.js'

/** Callers come from addresses that are allowed, and from none that are denied. */
export function addresses(
  name: string,
  routes: readonly string[] | undefined,
  { allow, deny = [] }: AddressesConfig,
): Policy {
  const isAllowed = allow ? ranges(allow) : () => true
  const isDenied = ranges(deny)
  return {
    ...{ name, routes },
    check: ({ address }) =>
      isAllowed(address) && !isDenied(address)
        ? undefined
        : { status: 403, type: 'address-not-allowed', title: 'Requests from this address are not served' },
  }
}
