import { describe, expect, it } from 'vitest'
import { classify, needsBody } from '../../src/signals/classify.js'

const NOW = Date.UTC(2026, 8, 6, 12)

function read(status: number, body: unknown, headers: Record<string, string> = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const type = typeof body === 'string' ? (body.startsWith('<') ? 'text/html' : 'text/plain') : 'application/json'
  const response = new Response(text, { status, headers: { 'content-type': type, ...headers } })
  const outcome = classify(response, needsBody(response, undefined) ? text : '', undefined, NOW)
  const kind = outcome.kind === 'refused' ? outcome.cause : outcome.kind
  return { kind, wait: 'wait' in outcome ? outcome.wait : undefined }
}

type Case = [what: string, status: number, body: unknown, kind: string, wait?: number, headers?: Record<string, string>]

/** Refusals of services that have no file of their own, worded as they word them. */
const CASES: Case[] = [
  // Limits
  ['a bare 429', 429, '', 'rate-limit'],
  [
    'a framework that throttles',
    429,
    { detail: 'Request was throttled. Expected available in 3 seconds.' },
    'rate-limit',
    3_000,
  ],
  [
    'an API manager',
    429,
    { statusCode: 429, message: 'Rate limit is exceeded. Try again in 12 seconds.' },
    'rate-limit',
    12_000,
  ],
  ['an API gateway', 429, { message: 'API rate limit exceeded' }, 'rate-limit'],
  [
    'a messenger',
    429,
    { ok: false, error_code: 429, description: 'Too Many Requests: retry after 35', parameters: { retry_after: 35 } },
    'rate-limit',
    35_000,
  ],
  [
    'stock prices',
    429,
    { error: "You've exceeded the maximum requests per minute, please wait or upgrade your subscription" },
    'rate-limit',
  ],
  [
    'stock prices with words about a limit',
    429,
    { error: 'API limit reached. Please try again later. Remaining Limit: 0' },
    'rate-limit',
  ],
  [
    'a node',
    429,
    { jsonrpc: '2.0', error: { code: -32007, message: '50/second request limit reached - reduce calls per second' } },
    'rate-limit',
  ],
  [
    'a node with a backoff',
    429,
    {
      jsonrpc: '2.0',
      error: { code: -32005, message: 'project ID request rate exceeded', data: { rate: { backoff_seconds: 24 } } },
    },
    'rate-limit',
    24_000,
  ],
  [
    'speech',
    429,
    {
      detail: {
        status: 'too_many_concurrent_requests',
        message:
          'Too many concurrent requests. Your current subscription is associated with a maximum of 2 concurrent requests.',
      },
    },
    'rate-limit',
  ],
  [
    'a social graph that says it with 400',
    400,
    { error: { message: '(#4) Application request limit reached', type: 'OAuthException', code: 4 } },
    'rate-limit',
  ],
  [
    'a bank link that says it with 400',
    400,
    {
      error_type: 'RATE_LIMIT_EXCEEDED',
      error_code: 'TRANSACTIONS_LIMIT',
      error_message: 'rate limit exceeded for attempts to access this item. please try again later',
    },
    'rate-limit',
  ],
  [
    'an API console that says it with 403',
    403,
    {
      error: {
        code: 403,
        message: 'Rate Limit Exceeded',
        errors: [{ domain: 'usageLimits', reason: 'rateLimitExceeded' }],
        status: 'PERMISSION_DENIED',
      },
    },
    'rate-limit',
  ],
  ['a CRM', 403, [{ message: 'TotalRequests Limit exceeded.', errorCode: 'REQUEST_LIMIT_EXCEEDED' }], 'rate-limit'],
  [
    'a payment service',
    429,
    { name: 'RATE_LIMIT_REACHED', message: 'Too many requests. Blocked due to rate limiting.' },
    'rate-limit',
  ],
  [
    'an identity service',
    429,
    { errorCode: 'E0000047', errorSummary: 'API call exceeded rate limit due to too many requests.' },
    'rate-limit',
    25_000,
    { 'x-rate-limit-remaining': '0', 'x-rate-limit-reset': String(NOW / 1000 + 25) },
  ],
  ['an old microblog', 420, 'Enhance Your Calm', 'rate-limit'],
  ['a shop system', 430, 'Too many requests', 'rate-limit'],
  ['XML', 429, '<Error><Code>TooManyRequests</Code><Message>Slow down</Message></Error>', 'rate-limit'],
  ['a page', 429, '<html><h1>429 Too Many Requests</h1></html>', 'rate-limit', 10_000, { 'retry-after': '10' }],
  [
    'one that calls a minute’s limit a quota',
    429,
    {
      error: {
        code: 429,
        message: "Quota exceeded for quota metric 'Read requests' and limit 'Read requests per minute' of service",
        status: 'RESOURCE_EXHAUSTED',
      },
    },
    'rate-limit',
  ],
  [
    'a wait in the text, in several units',
    429,
    { error: { message: 'Rate limit reached. Please try again in 1m26.4s.' } },
    'rate-limit',
    86_400,
  ],
  ['a wait in milliseconds in the body', 429, { error: 'slow_down', retry_after_ms: 750 }, 'rate-limit', 750],
  ['a moment in the body', 429, { error: 'rate_limited', reset_at: '2026-09-06T12:00:45Z' }, 'rate-limit', 45_000],
  // Quotas
  ['mail that says it with 401', 401, { errors: [{ field: null, message: 'Maximum credits exceeded' }] }, 'quota'],
  [
    'speech that says it with 401',
    401,
    {
      detail: {
        status: 'quota_exceeded',
        message:
          'This request exceeds your quota of 10000. You have 12 credits remaining, while 100 credits are required for this request.',
      },
    },
    'quota',
  ],
  ['translation with a status of its own', 456, { message: 'Quota Exceeded' }, 'quota'],
  ['search that ran out', 429, { error: 'Your account has run out of searches.' }, 'quota'],
  [
    'scraping without credits',
    402,
    { success: false, error: 'Insufficient credits to perform this request.' },
    'quota',
  ],
  [
    'a marketplace’s month',
    429,
    { message: 'You have exceeded the MONTHLY quota for Requests on your current plan, BASIC. Upgrade your plan' },
    'quota',
  ],
  ['weather with 403', 403, { error: { code: 2007, message: 'API key has exceeded calls per month quota.' } }, 'quota'],
  [
    'prices of coins, by month',
    429,
    { status: { error_code: 1010, error_message: "You have exceeded your API Key's monthly rate limit." } },
    'quota',
  ],
  [
    'prices of coins, by day',
    429,
    { status: { error_code: 1009, error_message: "You've exceeded your API Key's daily rate limit." } },
    'quota',
  ],
  [
    'a network’s day',
    429,
    {
      serviceErrorCode: 101,
      message: 'Resource level throttle APPLICATION DAY limit for calls to this resource is reached.',
      status: 429,
    },
    'quota',
  ],
  [
    'a node’s day',
    402,
    { jsonrpc: '2.0', error: { code: -32005, message: 'daily request count exceeded, request rate limited' } },
    'quota',
  ],
  [
    'a prepaid model',
    403,
    { error: { message: 'Your account balance is insufficient. Please recharge.', code: 'InsufficientBalance' } },
    'quota',
  ],
  [
    'an API manager’s volume',
    403,
    { statusCode: 403, message: 'Out of call volume quota. Quota will be replenished in 01:02:03.' },
    'quota',
    3_723_000,
  ],
  ['a field of the day', 429, { error: 'limit' }, 'quota', undefined, { 'x-ratelimit-remaining-day': '0' }],
  // Trouble of the server's own
  [
    'speech that is busy',
    429,
    { detail: { status: 'system_busy', message: 'Our services are experiencing high levels of traffic.' } },
    'trouble',
  ],
  [
    'a model without capacity',
    429,
    {
      error: {
        message: 'The model is currently at capacity due to high demand. Please try again.',
        type: 'engine_overloaded_error',
      },
    },
    'trouble',
  ],
  ['502', 502, '<html>Bad Gateway</html>', 'trouble'],
  ['503 that says when', 503, { message: 'Please retry after 5 seconds' }, 'trouble', 5_000],
  ['529', 529, { error: 'overloaded' }, 'trouble'],
  // Bad keys
  ['401', 401, '', 'invalid-key'],
  [
    '401 with words',
    401,
    { status_code: 7, status_message: 'Invalid API key: You must be granted a valid key.' },
    'invalid-key',
  ],
  [
    'space with 403',
    403,
    { error: { code: 'API_KEY_INVALID', message: 'An invalid api_key was supplied. Get one at https://api.nasa.gov' } },
    'invalid-key',
  ],
  ['weather with 403', 403, { error: { code: 2008, message: 'API key has been disabled.' } }, 'invalid-key'],
  [
    '400 with a code',
    400,
    { error: { code: 'invalid_api_key', message: 'The key is no longer in use' } },
    'invalid-key',
  ],
  [
    'an expired token',
    401,
    { error_summary: 'expired_access_token/', error: { '.tag': 'expired_access_token' } },
    'invalid-key',
  ],
  ['a suspended account', 403, { message: 'Your account has been suspended' }, 'invalid-key'],
  // Nothing of the kind
  ['403 about a resource', 403, { message: 'You do not have access to this resource' }, 'answer'],
  [
    '403 about a permission',
    403,
    { error: { message: 'Insufficient permissions: rate limits can be changed by administrators' } },
    'answer',
  ],
  [
    '403 of an API that is off',
    403,
    {
      error: {
        code: 403,
        message: 'Access Not Configured. The API has not been used in project 1 before or it is disabled.',
        errors: [{ reason: 'accessNotConfigured' }],
      },
    },
    'answer',
  ],
  [
    '400 about a parameter',
    400,
    {
      error: {
        message: "Unknown parameter: 'limit'. The daily quota is documented elsewhere",
        code: 'unknown_parameter',
      },
    },
    'answer',
  ],
  [
    '400 that quotes what was sent',
    400,
    { error: { message: `Invalid value: '${'too many requests, quota exceeded, invalid api key '.repeat(20)}'` } },
    'answer',
  ],
  [
    '422 about a field',
    422,
    { detail: [{ loc: ['body', 'token'], msg: 'field required', type: 'missing' }] },
    'answer',
  ],
  ['404', 404, { message: 'Not Found' }, 'answer'],
  ['409', 409, { message: 'conflict' }, 'answer'],
  [
    'a request that is too large',
    429,
    { error: { message: 'Request too large for model: Limit 6000, Requested 7200', code: 'rate_limit_exceeded' } },
    'answer',
  ],
  [
    'a clock that is wrong',
    401,
    { message: 'Timestamp for this request is outside of the recvWindow: clock skew' },
    'answer',
  ],
  ['an address that is not listed', 403, { message: 'IP address 10.0.0.1 is not allowed' }, 'answer'],
  ['501', 501, '', 'answer'],
  ['a success that speaks of limits', 200, { message: 'rate limit exceeded' }, 'answer'],
  ['a success with Retry-After', 200, '', 'answer', undefined, { 'retry-after': '9' }],
]

describe('an answer of a service that is not known', () => {
  it.each(CASES)('%s (%i)', (_, status, body, kind, wait, headers) => {
    expect(read(status, body, headers)).toEqual({ kind, wait })
  })

  it('is told by its status alone when its body is no text', () => {
    expect(read(429, 'quota exceeded', { 'content-type': 'image/png' }).kind).toBe('rate-limit')
    expect(read(403, 'invalid api key', { 'content-type': 'image/png' }).kind).toBe('answer')
  })
})
