import type { BodyFacts } from './body-facts.js'
import type { Meaning, Reply } from './provider.js'
import { readHeaderHint, serverTime } from './wait-hint.js'

// Words as servers write them: `rate_limit_exceeded`, `RateLimitExceeded`, "Rate limit exceeded". Every pattern is for a
// text whose capitals, underscores and hyphens have become spaces and small letters: see `words`.

const RATE =
  /\b(?:rate (?:is |was |has been )?limit(?:s|ed|ing)?\b|ratelimit(?:ed|s|ing)?\b|too many (?:\w+ )?(?:requests?|calls|queries|attempts)|throttl\w+|slow ?down|(?:requests?|calls|queries) (?:\w+ )?too (?:fast|quickly|frequently|often)|too (?:fast|quickly|frequent\w*)|requests? limit (?:\w+ ){0,3}(?:exceeded|reached)|(?:exceed\w*|reached|hit) (?:\w+ ){0,4}(?:requests?|calls|queries|rate|qps|rpm|rps|tpm) (?:\w+ ){0,3}limits?|request rate (?:is )?(?:too )?(?:large|high|exceed\w*)|over rate ?limit|qps limit|flood wait|too much request weight|banned until|request volume|concurren\w+ (?:\w+ )?(?:limit|exceeded)|enhance your calm|limit exceeded|limit reached|bandwidth limit exceeded|provisioned throughput exceeded|request limit exceeded)/
/** On a 403 or a 400, which have many other meanings: the thing itself, not a word of it. */
const REFUSED_BY_RATE =
  /\b(?:(?:user )?rate ?limit(?:s|ed)? (?:(?:is|was|has|have|been|quota) )*(?:exceeded|reached|hit)|(?:exceed\w*|reached|hit) (?:\w+ ){0,4}rate ?limits?|rate ?limited|rate ?limit error|too many (?:\w+ )?(?:requests|calls)|(?:access|requests?|calls) (?:\w+ )?too (?:frequent\w*|fast|quickly|often)|over (?:qps|rate)|request rate (?:\w+ ){0,2}exceed\w*|(?:hourly|burst|invocation) (?:\w+ ){0,2}limit exceeded|requests? limit (?:exceeded|reached)|throttl(?:ed|ing)(?: exception| error)?|throttled? exception|request limit exceeded|slow down|provisioned throughput exceeded)\b/
const QUOTA =
  /\b(?:t have any (?:\w+ )?(?:credits?|balance)|usage (?:\w+ ){0,3}consumed|max(?:imum)? usage reached|balance (?:\w+ ){0,3}negative|arrear\w*|overdue (?:\w+ ){0,2}(?:balance|payment|invoice|bill)|(?:account|payment|balance|bill|invoice) (?:\w+ ){0,2}overdue|\w+ cap exceeded|insufficient (?:\w+ )?(?:quota|credits?|funds|balance|tokens)|(?:not enough|no more|no|out of|ran out of|run out of|low on|zero) (?:\w+ ){0,3}(?:credits?|quota|balance|funds)\b(?! (?:card|limit))|(?:credits?|balance|funds) (?:\w+ ){0,4}(?:exhausted|depleted|exceeded|used up|too low|insufficient|expired|ran out)|exhausted (?:\w+ ){0,4}(?:credits?|quota|balance|requests|allowance)|quota (?:\w+ ){0,5}(?:exceeded|exhausted|reached|limited|depleted|used|consumed|over)|(?:exceed\w*|reached|used|hit|consumed|over|depleted) (?:\w+ ){0,6}(?:quota|credits|allowance|allotment|balance)\b|(?:over|exceeded|reached) (?:\w+ ){0,3}quota|quota ?exceeded|quota ?limit(?:ed)?|(?:spend|spending|billing|usage|plan|subscription|budget|consumption|account|trial|package) (?:(?!storage)\w+ ){0,2}(?:limits?|caps?|quota|allowance|allotment) (?:\w+ ){0,4}(?:exceeded|reached|hit|exhausted|met)|(?:exceed\w*|reached|hit|above) (?:\w+ ){0,4}(?:spend|spending|billing|usage|plan|subscription|budget|trial|pay as you go)s? (?:\w+ ){0,3}(?:limits?|caps?|quota|allowance|maximum)|usage cap exceeded|billing (?:hard )?(?:limit|not active|error|inactive|required|issue)|payment required|(?:key|plan|subscription|account|trial) (?:\w+ ){0,5}no more requests|(?:key|plan|trial) (?:\w+ )?exhausted|maximum credits|credit limit (?:\w+ )?(?:reached|exceeded)|capacity limit exceeded|maximum billing|(?:run|ran) out of \w+|limitation of (?:your|the) (?:subscription|package)|over limit for the (?:day|month))/
/** The same in Chinese and Japanese, where words have no ends. */
const QUOTA_IN_CJK =
  /余额不足|余额为|欠费|请充值|额度(?:不足|已用完|用尽)|配额(?:不足|已用完|超限)|残高不足|残高が不足|クレジットが不足/
/** Named windows: the short ones pass by waiting, the long ones are a quota. */
const SHORT_WINDOW =
  /\b(?:(?:per|a|each|every|in|current|this|next|last) (?:\d+ )?(?:s|sec|second|min|minute)s?\b|(?:per|a|each|every|in) (?:[1-5] )?hours?\b|(?:second|minute|hour)ly\b|per(?:second|minute|hour)\b|[rtq]p[sm]\b|burst)|\/ ?(?:s|sec|second|m|min|minute|h|hour)\b/
const LONG_WINDOW =
  /\b(?:(?:per|a|each|every|this|current|of the|for the|for) (?:\d+ )?(?:day|week|month|year)s?\b|today\b|dai?ly\b|(?:week|month|year)ly\b|per(?:day|week|month|year)\b|[rt]p[dw]\b|24 ?h(?:ours?)?\b|(?:day|week|month) limit|billing (?:cycle|period))|\/ ?(?:day|week|month)\b/
const OVERLOAD =
  /\b(?:overload(?:ed|ing)?|over ?capacity|at capacity|out of capacity|(?:no|insufficient|limited) (?:\w+ )?capacity|(?<!plan )(?<!quota )capacity (?:\w+ )?(?:exceeded|exhausted|constraints?|reached|unavailable)|reduced capacity|high (?:\w+ )?(?:demand|load|traffic)|heavy (?:\w+ )?(?:load|traffic)|peak load|(?:system|server|service|engine|backend|upstream|model) (?:\w+ ){0,3}(?:busy|overwhelmed)|too busy|(?:lock|locking) timeout|temporarily unavailable|service (?:temporarily )?unavailable|currently loading|model (?:\w+ )?loading|try again when|resource temporarily)/
/** Requests that no waiting makes pass. */
const TOO_LARGE =
  /\b(?:request (?:is |was )?too (?:large|big|long)|(?:input|output|prompt|tokens?)[a-z ]{0,30} must be reduced|(?:reduce|shorten) (?:the |your )?(?:length|prompt|input|message|request size)|too many tokens in (?:the |your )?(?:request|prompt)|(?:context|maximum) (?:\w+ )?length exceeded|context length|(?:cost|complexity) (?:\w+ ){0,3}exceeds? (?:the )?(?:max|maximum)|query (?:is )?too complex)/
const BAD_KEY =
  /\b(?:(?:invalid|incorrect|wrong|unknown|unrecognized|bad|missing|malformed|expired|revoked|disabled|deactivated|blocked|suspended|no) (?:x )?(?:(?:api|access|auth|authentication|authorization|subscription|security|account|client|bearer|secret|developer|app|oauth|personal) |(?:\w+ ){1,2}or (?:api |access )?(?=key|token)){0,3}(?:key|token|credentials?|authentication token|auth)\b(?! (?:attempts|found in cache))|(?<!csrf )(?:(?:api|access|auth|authentication|subscription|security|bearer|secret|personal) ?){0,4}(?<!csrf )(?:key|token|credentials?) (?:\w+ ){0,6}?(?:not (?:be )?(?:valid|found|recognized|active|authorized|correct|provided|supplied|registered)|invalid|incorrect|unknown|expired|revoked|disabled|deactivated|blocked|suspended|leaked|missing(?! (?:the |some |a |any )?(?:required )?(?:permission|scope))|not entered correctly|t been entered correctly|malformed|inactive|deleted|does not exist)\b|(?:key|token|auth|authentication|credentials?|account|developer|application) ?(?:invalid|expired|revoked|disabled|deactivated|inactive|suspended)\b|authentication (?:error|failed|fails|failure|required)|invalid ?auth|not ?authed|invalid authentication|(?:account|organization|organisation|app|application|project|consumer) (?:\w+ ){0,3}(?:suspended|deactivated|disabled|restricted|terminated|inactive|not active|banned)|unrecognized client|invalid client token|invalid access key)/
/** In a 400 or 422, which are mostly about the request: codes that leave no doubt. */
const BAD_KEY_CODE =
  /^(?:(?:invalid|expired|revoked|missing|bad|wrong|incorrect|malformed) (?:api|access|auth|subscription|x api|authentication) ?(?:key|token)s?|(?:api|access|auth|subscription) ?(?:key|token) (?:is )?(?:not valid|invalid|expired|revoked|disabled|missing)|(?:api|access|auth|subscription) ?(?:key|token) ?(?:invalid|expired|revoked|disabled)|key (?:invalid|expired)|invalid token|token (?:invalid|expired|revoked)|invalid auth|\w+ token invalid|organization restricted|account (?:suspended|deactivated|disabled)|authentication error|access terminated|account (?:terminated|banned|blocked)|(?:organization|organisation|workspace) (?:disabled|suspended|deactivated)|unrecognized client(?: exception)?|expired token(?: exception)?)$/
/** Codes of a request that is wrong in itself. */
const REQUEST_CODE =
  /^(?:invalid (?:request|value|argument|parameter|input|type|enum|json|field|body|format|syntax|prompt|schema|union|string|number)\b.*|\w+ (?:literal|type|parsing) error|literal error|(?:type|value|validation|parsing|schema|syntax|parse|missing|enum) ?error|validation (?:failed|exception)|bad ?request(?: exception| error)?|unprocessable(?: entity)?|malformed (?:request|json).*|missing (?:required )?(?:parameter|field|property).*|unknown (?:parameter|field)|unsupported (?:value|parameter)|context length exceeded|string (?:too long|above max length)|(?:tool use|json validate) failed|model not found|content filter|content policy violation|invalid)$/
/** About the request's own making or its right to the thing, whatever else is said. */
const NOT_THE_KEY =
  /\b(?:clock|skew\w*|timestamp|signature (?:expired|not yet|does ?n.?t match|mismatch|invalid)|invalid signature|request (?:time too skewed|expired)|nonce|permission|not authorized to|(?:insufficient|missing|required|contain) (?:\w+ )?scopes?|insufficient permission|forbidden resource|(?:ip|origin|referr?er|country|region|territory) (?:\w+ ){0,3}not (?:\w+ )?(?:allowed|supported|whitelist\w*|authorized|permitted)|not on whitelist|not supported|gated|moderation|blocked: )/

/** The right to the thing is lacking, not the key. */
const LACKS_RIGHT = /^(?:insufficient|missing) (?:scopes?|permissions?)$/
/** A payment that the request itself makes, or what the plan does not have: no key of the same plan helps. */
const USERS_MONEY =
  /\b(?:(?:in)?sufficient funds|insufficient balance for|card|declin\w*|payment method|premium|not available under)\b/
/** What AWS's gateway says of a path that it does not know. */
const UNKNOWN_PATH = /^\W*message missing authentication token\W*$/

/** A quota takes longer than this to come back, in milliseconds. */
const SOON = 900_000

/**
 * What a reply means by everything that services have in common: statuses, standard fields, usual words.
 *
 * @param isKnown - whether the service is one whose signals are known: then its 400 and 422 are the request's own unless one of
 *   them, or a code, says otherwise
 */
export function readGenerally(reply: Reply, isKnown = false): Meaning {
  const { status, headers, body } = reply
  if (status < 400) return 'answer'
  const said = wordsOf(body)
  const codes = body.codes.map(words)
  switch (status) {
    case 429:
      return readRefusal(reply, said, codes)
    case 402:
      return readPayment(reply, said)
    case 401:
      if (isQuota(said)) return 'quota'
      if (REFUSED_BY_RATE.test(said)) return 'rate-limit'
      return NOT_THE_KEY.test(said) && !BAD_KEY.test(said) ? 'answer' : 'invalid-key'
    case 403:
      return readForbidden(headers, said, codes)
    case 400:
    case 422:
      return readBadRequest(said, codes, isKnown)
    case 408:
    case 425:
      return 'answer'
    case 503:
    case 529:
      return 'overload'
  }
  if (status >= 500) return readServerError(status, said)
  // Not of any standard: 418, 420, 430, 432, 433, 439, 477, 498, 499, …
  if (status === 418 || status === 420 || status === 430 || status > 431) return readOddStatus(headers, said)
  return 'answer'
}

function readRefusal(reply: Reply, said: string, codes: readonly string[]): Meaning {
  if (asksMoreThanTheLimit(said)) return 'answer'
  if (codes.some(code => BAD_KEY_CODE.test(code))) return 'invalid-key'
  const isRateByCode = codes.some(code => RATE.test(code)) && !codes.some(code => QUOTA.test(code))
  // Advice ("reduce the prompt") says nothing of whose fault it is where a code says it, or when to come back.
  if (TOO_LARGE.test(said) && !isRateByCode && !saysWhen(reply)) return 'answer'
  // No allowance at all, whatever is said beside it.
  if (/(?<!remaining )\blimit 0\b/.test(said) || isLongWindowSpent(reply.headers)) return 'quota'
  const hasShort = SHORT_WINDOW.test(said)
  if (LONG_WINDOW.test(said) && !hasShort) return 'quota'
  if (QUOTA_IN_CJK.test(said)) return 'quota'
  if (isRateByCode) return 'rate-limit'
  if (codes.some(code => OVERLOAD.test(code)) || (OVERLOAD.test(said) && !RATE.test(said) && !QUOTA.test(said))) {
    return 'overload'
  }
  if (OVERLOAD.test(said) && !codes.some(code => RATE.test(code) || QUOTA.test(code))) return 'overload'
  // gRPC's word for all limits, rates above all.
  if (hasShort || codes.includes('resource exhausted')) return 'rate-limit'
  // Services that say "quota" and mean a rate say when to come back, and it is soon.
  if (isQuota(said)) return saysSoon(reply) ? 'rate-limit' : 'quota'
  return 'rate-limit'
}

/** 402 is about money, save for the few that say to come back at once: so much is under way that no more fits in. */
function readPayment(reply: Reply, said: string): Meaning {
  if (/\bin ?flight\b/.test(said)) return 'rate-limit'
  if (USERS_MONEY.test(said) && !/\b(?:credits?\b(?! card)|quota|usage|limits?\b)/.test(said)) return 'answer'
  return saysSoon(reply) ? 'rate-limit' : 'quota'
}

function readForbidden(headers: Headers, said: string, codes: readonly string[]): Meaning {
  if (codes.some(code => LACKS_RIGHT.test(code)) || UNKNOWN_PATH.test(said)) return 'answer'
  if (codes.some(code => BAD_KEY_CODE.test(code))) return 'invalid-key'
  if (codes.some(code => QUOTA.test(code)) || QUOTA_IN_CJK.test(said)) return 'quota'
  if (isQuota(said) && !/\binsufficient balance for\b/.test(said)) return 'quota'
  if (REFUSED_BY_RATE.test(said)) return LONG_WINDOW.test(said) && !SHORT_WINDOW.test(said) ? 'quota' : 'rate-limit'
  if (isRateLimited(headers)) return 'rate-limit'
  // RFC 6750 section 3.1: the token is expired, revoked, malformed or invalid.
  if (/error="?invalid_token/i.test(headers.get('www-authenticate') ?? '')) return 'invalid-key'
  if (BAD_KEY.test(said)) return 'invalid-key'
  // All that it says is that nobody has proved who they are.
  return said.length < 80 && /\bunauthorized\b/.test(said) && !NOT_THE_KEY.test(said) ? 'invalid-key' : 'answer'
}

function readBadRequest(said: string, codes: readonly string[], isKnown: boolean): Meaning {
  if (TOO_LARGE.test(said) || /\bscopes?\b/.test(said)) return 'answer'
  if (codes.some(code => BAD_KEY_CODE.test(code))) return 'invalid-key'
  if (
    codes.some(code =>
      /^(?:throttl\w*|throttled|request limit exceeded|too many requests|slow down|request throttled|provisioned throughput exceeded|bandwidth limit exceeded|rate ?limit(?: exceeded)?)(?: exception| error)?$/.test(
        code,
      ),
    )
  ) {
    return 'rate-limit'
  }
  // Words decide only where no code does: and where it is not known how the service says such things.
  if (isKnown || codes.some(code => REQUEST_CODE.test(code))) return 'answer'
  // The request itself may be quoted in a long message: only a short one is taken at its word.
  if (said.length > 600) return 'answer'
  if (QUOTA.test(said) && !/\b(?:in)?sufficient funds\b/.test(said)) return 'quota'
  if (REFUSED_BY_RATE.test(said)) return 'rate-limit'
  return /\b(?:invalid|incorrect|wrong|validating) (?:oauth )?(?:api|access|subscription) ?(?:key|token)\b|\b(?:api|access|subscription) ?(?:key|token) (?:is )?(?:not valid|not registered|invalid|expired|revoked)\b/.test(
    said,
  )
    ? 'invalid-key'
    : 'answer'
}

function readServerError(status: number, said: string): Meaning {
  if (status === 509) return 'quota'
  return OVERLOAD.test(said) ? 'overload' : 'answer'
}

function readOddStatus(headers: Headers, said: string): Meaning {
  if (isQuota(said)) return 'quota'
  if (RATE.test(said) || isZero(headers.get('x-ratelimit-remaining'))) return 'rate-limit'
  if (OVERLOAD.test(said) || headers.has('retry-after')) return 'overload'
  return BAD_KEY.test(said) ? 'invalid-key' : 'answer'
}

function isQuota(said: string): boolean {
  if (QUOTA.test(said)) return !SHORT_WINDOW.test(said) || LONG_WINDOW.test(said)
  return LONG_WINDOW.test(said) && !SHORT_WINDOW.test(said) && /\b(?:limit|quota|maximum|exceeded|reached)\b/.test(said)
}

/** GitHub and others refuse with 403 and say when to come back. */
function isRateLimited(headers: Headers): boolean {
  return (
    headers.has('retry-after') ||
    headers.has('retry-after-ms') ||
    isZero(headers.get('x-ratelimit-remaining')) ||
    isZero(headers.get('ratelimit-remaining')) ||
    isZero(headers.get('x-rate-limit-remaining'))
  )
}

/** A field of a day's or month's limit of which nothing is left. */
function isLongWindowSpent(headers: Headers): boolean {
  for (const [name, value] of headers) {
    if (/remaining/.test(name) && /day|dai?ly|month/.test(name) && isZero(value)) return true
  }
  return false
}

/** "Limit 30,000 tokens, Used 0, Requested ~30.6k": no waiting makes it pass, and no key of the same kind. */
function asksMoreThanTheLimit(said: string): boolean {
  const plain = said.replace(/(?<=\d)[,' ](?=\d{3}\b)/g, '')
  const limit = NUMBER_AFTER_LIMIT.exec(plain)
  const requested = NUMBER_AFTER_REQUESTED.exec(plain)
  return limit !== null && requested !== null && sizeOf(requested) > sizeOf(limit)
}

const NUMBER_AFTER_LIMIT = /\blimit(?: is| of)?[^\d\n]{0,12}?(\d{1,15}(?:\.\d+)?) ?([km])?\b/
const NUMBER_AFTER_REQUESTED = /\brequested[^\d\n]{0,12}?(\d{1,15}(?:\.\d+)?) ?([km])?\b/

function sizeOf([, number, unit]: RegExpExecArray): number {
  return Number(number) * (unit === 'k' ? 1e3 : unit === 'm' ? 1e6 : 1)
}

/** Whether the reply says when to come back, in its fields. */
function saysWhen({ headers, body }: Reply): boolean {
  return body.waits.length > 0 || (readHeaderHint(headers, serverTime(headers, 0))?.wait ?? 0) > 0
}

/** Whether it will be over in minutes, by the fields of the header or the body. */
function saysSoon({ headers, body }: Reply): boolean {
  const wait = body.waits[0] ?? readHeaderHint(headers, serverTime(headers, 0))?.wait
  return wait !== undefined && wait > 0 && wait <= SOON
}

function isZero(value: string | null): boolean {
  return value !== null && /^\s*0+(\.0+)?\s*$/.test(value)
}

/** What a body says, for the patterns; JSON's quotes and slashes are no words. */
function wordsOf({ text }: BodyFacts): string {
  return words(text)
}

/** `RateLimitExceeded`, `rate_limit-exceeded` and "Rate limit  exceeded" are the same words. */
function words(text: string): string {
  return text
    .replace(/([a-z])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .replace(/[_\-\s"'{}[\]:\\.!?()`]+/g, ' ')
    .trim()
}

/** Whether a limit is one of a day or longer by its words, and the reply says nothing of coming back sooner. */
export function isOfLongWindow(reply: Reply): boolean {
  const said = wordsOf(reply.body)
  return reply.status === 429 && LONG_WINDOW.test(said) && !SHORT_WINDOW.test(said) && !saysWhen(reply)
}
