import { messageAtTop } from '../error-shapes.js'
import type { Provider } from '../provider.js'

const THROTTLING =
  /^(?:Throttl(?:ing|ed)(?:Exception)?|RequestLimitExceeded|RequestThrottled(?:Exception)?|TooManyRequestsException|SlowDown|BandwidthLimitExceeded|EC2ThrottledException|LimitExceededException|ProvisionedThroughputExceededException|PriorRequestNotComplete|TransactionInProgressException)(?::|$)/
const BAD_KEY =
  /^(?:UnrecognizedClientException|InvalidClientTokenId|InvalidAccessKeyId|ExpiredToken(?:Exception)?|InvalidToken|MissingAuthenticationToken(?:Exception)?)(?::|$)/
const SIGNATURE =
  /^(?:InvalidSignatureException|SignatureDoesNotMatch|RequestTimeTooSkewed|RequestExpired|AuthFailure|AccessDenied(?:Exception)?)(?::|$)/

/** https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html */
export const aws: Provider = {
  name: 'AWS',
  errorShape: messageAtTop,
  auth: { header: 'authorization', format: 'Bearer {key}' },
  scope: 'route',
  limitScope: 'model',
  signals: [
    { status: 503, headers: { 'x-amz-retry-after': /./ }, means: 'rate-limit', scope: 'provider' },
    { status: 503, means: 'overload' },
    { status: 429, headers: { 'x-amzn-errortype': /^LimitExceeded/ }, means: 'quota', scope: 'key' },
    { status: 429, text: /\btokens per (?:day|month)\b/i, means: 'quota' },
    { status: [400, 403, 429], headers: { 'x-amzn-errortype': THROTTLING }, means: 'rate-limit' },
    { status: [400, 403, 429], code: THROTTLING, means: 'rate-limit' },
    { status: [400, 401, 403], headers: { 'x-amzn-errortype': BAD_KEY }, means: 'invalid-key' },
    { status: [400, 401, 403], code: BAD_KEY, means: 'invalid-key' },
    // A clock that is wrong, or a signature that is.
    { status: [400, 401, 403], headers: { 'x-amzn-errortype': SIGNATURE }, means: 'answer' },
    { status: [400, 401, 403], code: SIGNATURE, means: 'answer' },
  ],
}
