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
  // Waits in fields of their own making
  [
    'a moment in a field of milliseconds',
    429,
    { error: { code: 'rate_limited', limit: { remaining: 0, reset: (NOW + 7_000) / 1000, resetMs: NOW + 7_000 } } },
    'rate-limit',
    7_000,
  ],
  [
    'a reset without what remains',
    429,
    { message: 'Too Many Requests' },
    'rate-limit',
    15_000,
    { 'x-rate-limit-interval': '60', 'x-rate-limit-limit': '300', 'x-rate-limit-reset': String(NOW / 1000 + 15) },
  ],
  [
    'a reset under a name of its own',
    429,
    { sys: { id: 'RateLimitExceeded' } },
    'rate-limit',
    1_000,
    { 'x-contentful-ratelimit-reset': '1', 'x-contentful-ratelimit-second-remaining': '0' },
  ],
  [
    'a reset time',
    429,
    { error: { code: 'ACCESS_LIMIT_REACHED' } },
    'rate-limit',
    43_200_000,
    { 'ratelimit-remaining': '0', 'ratelimit-resettime': '2026-09-07T00:00:00+00:00' },
  ],
  [
    'a moment in the body',
    402,
    {
      rate: { limit: 2500, remaining: 0, reset: NOW / 1000 + 43_200 },
      status: { code: 402, message: 'quota exceeded' },
    },
    'quota',
    43_200_000,
  ],
  [
    'words of when',
    429,
    {
      error_code: 'over_email_send_rate_limit',
      msg: 'For security purposes, you can only request this after 47 seconds.',
    },
    'rate-limit',
    47_000,
  ],
  [
    'words of a ban',
    429,
    {
      name: 'rate_limit_exceeded',
      errors: [
        'You have exceeded the rate limit of 150 requests within a 10 second period, and have been timed out for 60 seconds.',
      ],
    },
    'rate-limit',
    60_000,
  ],
  // Limits that come as something else
  [
    'credits of a minute',
    429,
    {
      code: 429,
      message:
        'You have run out of API credits for the current minute. 12 API credits were used, with the current limit being 8. Wait for the next minute',
    },
    'rate-limit',
  ],
  [
    'an hourly limit with 400',
    400,
    {
      errorCode: 'HOURLY_APIINVOCATION_LIMIT_EXCEEDED',
      message: 'The maximum number of hourly API invocations has been exceeded.',
    },
    'rate-limit',
  ],
  [
    'too many calls with 400',
    400,
    {
      error: {
        message: 'There have been too many calls to this ad-account. Wait a bit and try again.',
        type: 'OAuthException',
        code: 80004,
      },
    },
    'rate-limit',
  ],
  ['too frequent with 403', 403, 'access too frequent', 'rate-limit'],
  ['a page with 403', 403, '<h1>Developer Over Qps</h1>', 'rate-limit'],
  ['a threshold with 403', 403, '<html><title>Request Rate Threshold Exceeded</title>', 'rate-limit'],
  // Quotas
  [
    'usage limits',
    429,
    { status: 429, message: 'not_allowed', description: 'Access restricted - usage limits have been reached.' },
    'quota',
  ],
  [
    'usage with 401',
    401,
    {
      message:
        'Validation service blocked: Your plan: free-plan-daily total included usage has been consumed, please upgrade your plan',
    },
    'quota',
  ],
  [
    'no credits yet',
    403,
    {
      code: 'The caller does not have permission to execute the specified operation',
      error: "Your newly created team doesn't have any credits or licenses yet.",
    },
    'quota',
  ],
  [
    'a negative balance',
    400,
    { error: 'Your current account balance is negative. Please top up to continue using the API.' },
    'quota',
  ],
  [
    'arrears',
    400,
    { code: 'Arrearage', message: 'Access denied, please make sure your account is in good standing.' },
    'quota',
  ],
  [
    'a cap',
    403,
    { code: 'download_cap_exceeded', message: 'Cannot download file, download bandwidth cap exceeded.', status: 403 },
    'quota',
  ],
  // Bad keys
  ['two things that may be wrong', 403, { message: 'Invalid Application-ID or API key', status: 403 }, 'invalid-key'],
  [
    'a token that cannot be validated',
    400,
    { error: { message: 'Error validating access token: Session has expired', type: 'OAuthException', code: 190 } },
    'invalid-key',
  ],
  [
    'a key that is not registered',
    400,
    { error_code: 400, error_message: 'Bad Request.  The value for variable api_key is not registered.' },
    'invalid-key',
  ],
  [
    'keys, in a code',
    400,
    {
      error_type: 'INVALID_INPUT',
      error_code: 'INVALID_API_KEYS',
      error_message: 'invalid client_id or secret provided',
    },
    'invalid-key',
  ],
  ['no credentials', 403, { detail: 'Authentication credentials were not provided.' }, 'invalid-key'],
  ['an inactive developer', 403, '<h1>Developer Inactive</h1>', 'invalid-key'],
  // Not the key’s
  [
    'a declined card',
    402,
    {
      errors: [
        { category: 'PAYMENT_METHOD_ERROR', code: 'GENERIC_DECLINE', detail: "Authorization error: 'GENERIC_DECLINE'" },
      ],
    },
    'answer',
  ],
  [
    'something for premium users',
    402,
    {
      errors: [
        { message: 'Payment Required. The object specified by the request is only available to premium users.' },
      ],
    },
    'answer',
  ],
  ['the funds of an order', 400, { message: 'Insufficient funds' }, 'answer'],
  [
    'the funds of a payout',
    422,
    { name: 'INSUFFICIENT_FUNDS', message: 'Sender does not have sufficient funds. Please add funds and retry.' },
    'answer',
  ],
  [
    'the balance of a trade',
    403,
    {
      available: '0',
      balance: '0',
      code: 40310000,
      message: 'insufficient balance for USD (requested: 10, available: 0)',
    },
    'answer',
  ],
  [
    'scopes with 400',
    400,
    { code: 4711, message: 'Invalid access token, does not contain scopes:[user:read:admin].' },
    'answer',
  ],
  [
    'scopes with 403',
    403,
    {
      errors: [
        {
          category: 'AUTHENTICATION_ERROR',
          code: 'INSUFFICIENT_SCOPES',
          detail: 'The merchant has not given your application sufficient permissions to do that.',
        },
      ],
    },
    'answer',
  ],
  [
    'a scope with 401',
    401,
    { error: 'Unauthorized', status: 401, message: 'Missing scope: channel:read:subscriptions' },
    'answer',
  ],
  [
    'a permission with 401',
    401,
    {
      detail: {
        status: 'missing_permissions',
        message: 'The API key you used is missing the permission user_read to execute this operation.',
      },
    },
    'answer',
  ],
  ['a form’s token', 403, { detail: 'CSRF Failed: CSRF token missing or incorrect.' }, 'answer'],
  [
    'somebody else’s account',
    403,
    { ok: false, error_code: 403, description: 'Forbidden: user is deactivated' },
    'answer',
  ],
  [
    'somebody’s storage',
    403,
    { type: 'error', status: 403, code: 'storage_limit_exceeded', message: 'Account storage limit reached' },
    'answer',
  ],
  [
    'a path that a gateway does not know',
    403,
    { message: 'Missing Authentication Token' },
    'answer',
    undefined,
    { 'x-amzn-errortype': 'MissingAuthenticationTokenException' },
  ],
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
