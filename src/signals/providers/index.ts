import type { Provider } from '../provider.js'
import { airtable } from './airtable.js'
import { alchemy } from './alchemy.js'
import { alphavantage } from './alphavantage.js'
import { anthropic } from './anthropic.js'
import { atlassianJira } from './atlassian-jira.js'
import { aws } from './aws.js'
import { azureOpenai } from './azure-openai.js'
import { binance } from './binance.js'
import { brave } from './brave.js'
import { cloudflare } from './cloudflare.js'
import { cohere } from './cohere.js'
import { coingecko } from './coingecko.js'
import { deepseek } from './deepseek.js'
import { discord } from './discord.js'
import { etherscan } from './etherscan.js'
import { gemini } from './gemini.js'
import { github } from './github.js'
import { gitlab } from './gitlab.js'
import { googleMaps } from './google-maps.js'
import { groq } from './groq.js'
import { hubspot } from './hubspot.js'
import { huggingface } from './huggingface.js'
import { microsoftGraph } from './microsoft-graph.js'
import { mistral } from './mistral.js'
import { newsapi } from './newsapi.js'
import { notion } from './notion.js'
import { openai } from './openai.js'
import { openrouter } from './openrouter.js'
import { openweather } from './openweather.js'
import { serper } from './serper.js'
import { shopify } from './shopify.js'
import { slack } from './slack.js'
import { spotify } from './spotify.js'
import { stripe } from './stripe.js'
import { tavily } from './tavily.js'
import { twilio } from './twilio.js'
import { xTwitter } from './x-twitter.js'
import { youtube } from './youtube.js'

/** The services whose signals come with the library, by the name that the `provider` option knows them by. */
export const PROVIDERS = {
  airtable,
  alchemy,
  alphavantage,
  anthropic,
  'atlassian-jira': atlassianJira,
  aws,
  'azure-openai': azureOpenai,
  binance,
  brave,
  cloudflare,
  cohere,
  coingecko,
  deepseek,
  discord,
  etherscan,
  gemini,
  github,
  gitlab,
  'google-maps': googleMaps,
  groq,
  hubspot,
  huggingface,
  'microsoft-graph': microsoftGraph,
  mistral,
  newsapi,
  notion,
  openai,
  openrouter,
  openweather,
  serper,
  shopify,
  slack,
  spotify,
  stripe,
  tavily,
  twilio,
  'x-twitter': xTwitter,
  youtube,
} as const satisfies Record<string, Provider>

/** The services whose signals come with the library. */
export type ProviderName = keyof typeof PROVIDERS
