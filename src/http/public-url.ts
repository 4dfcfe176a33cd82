import { withoutParameters } from './authorise.js'

/** A URL as events may show it: without fragment, without the pool's own parameter, and no key's value anywhere in it. */
export function publicUrl(url: string, strip: (url: string) => string, isSecret: (text: string) => boolean): string {
  const clean = withoutParameters(strip(url), (_, value) => isSecret(value)).replace(/#.*$/s, '')
  const end = clean.indexOf('?')
  const path = end < 0 ? clean : clean.slice(0, end)
  return (
    path
      .split('/')
      .map(part => (isSecret(decode(part)) ? '***' : part))
      .join('/') + (end < 0 ? '' : clean.slice(end))
  )
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    // Not percent-encoded in any way that could stand for a key.
    return part
  }
}
