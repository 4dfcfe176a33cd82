import { PROVIDERS } from '../../signals/providers/index.js'
import type { RouteConfig } from '../config/config.js'
import { literally } from '../literally.js'

/** Fields of answers that hold URLs. */
const WITH_URLS = ['location', 'content-location', 'link', 'refresh']

/**
 * Answers may quote the URL that they are for, with the key in its query or path. What is given back is without it, and
 * what leads to the service leads to the route instead, where the next key is put in.
 */
export function keyHider(
  route: string,
  base: { readonly origin: string; readonly href: string; readonly path: string },
  { auth, provider }: Pick<RouteConfig, 'auth' | 'provider'>,
): (headers: Record<string, string | string[]>, url: URL) => void {
  const way = auth ?? (typeof provider === 'string' ? PROVIDERS[provider] : provider)?.auth
  const inQuery =
    typeof way === 'object' && 'query' in way
      ? new RegExp(`([?&])(?:${literally(way.query)}|${literally(encodeURIComponent(way.query))})=[^&>"#\\s]*&?`, 'g')
      : undefined
  const paths = typeof way === 'object' && 'path' in way ? [way.path].flat() : []
  const inPath = paths.map(path => {
    const [before = '', after = ''] = path.split('{key}').map(literally)
    return new RegExp(`(${before})[^/?#>"\\s]+(${after})`, 'g')
  })

  function clean(text: string, field: string, url: URL): string {
    let cleaned = text
    if (inQuery) cleaned = cleaned.replace(inQuery, '$1').replace(/[?&](?=[>"#\s]|$)/g, '')
    for (const each of inPath) cleaned = cleaned.replace(each, '$1*$2')
    if (field === 'location' && URL.canParse(cleaned, url)) {
      const to = new URL(cleaned, url)
      const isWithin =
        to.origin === base.origin && (to.pathname === base.path || to.pathname.startsWith(`${base.path}/`))
      return isWithin ? `${route}${to.pathname.slice(base.path.length)}${to.search}${to.hash}` : cleaned
    }
    return cleaned.replaceAll(`${base.href}/`, `${route}/`)
  }

  return (headers, url) => {
    for (const field of WITH_URLS) {
      const value = headers[field]
      if (typeof value === 'string') headers[field] = clean(value, field, url)
    }
  }
}
