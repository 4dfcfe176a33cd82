import { existsSync } from 'node:fs'
import { hashToken } from 'fetch-keypool/gateway'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { gateway } from '../helpers/gateway.js'
import { loopback } from '../helpers/loopback.js'

const CHROMIUM = '/usr/bin/chromium'
const hasChromium = existsSync(CHROMIUM)
if (!hasChromium) console.warn('NO chromium IS INSTALLED: the tests of the dashboard are SKIPPED.')

let browser: Browser
beforeAll(async () => {
  if (!hasChromium) return
  browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  })
})
afterAll(() => browser?.close())

async function open(url: string, options: object = {}) {
  const page = await browser.newPage(options)
  const traffic: string[] = []
  const problems: string[] = []
  page.on('response', async answer => {
    if (!/live/.test(answer.url())) traffic.push(await answer.text().catch(() => ''))
  })
  page.on('pageerror', error => problems.push(error.message))
  page.on('console', message => {
    if (message.type() === 'error' && !/401/.test(message.text())) problems.push(message.text())
  })
  await page.goto(`${url}/__keypool/`)
  return { page, traffic, problems }
}

const stateOf = (page: Page, id: string) => page.locator(`tr[data-key="${id}"] .state`)

describe.runIf(hasChromium)('the dashboard', { retry: 1 }, () => {
  it('loads, shows each key, and follows what happens', async () => {
    const server = await loopback(({ key }) =>
      key === 'value-one' ? { status: 429, headers: { 'retry-after': '60' } } : { body: 'x' },
    )
    const { url } = await gateway({
      routes: {
        '/api': {
          upstream: server.url,
          keys: 'value-one,value-two',
          cache: false,
          limits: { requests: 100, per: '1h' },
        },
      },
    })
    const { page, traffic, problems } = await open(url)
    await stateOf(page, 'key-1').waitFor()
    expect(await page.locator('#connection').textContent()).toBe('Live')
    expect(await stateOf(page, 'key-1').textContent()).toBe('ready')
    await fetch(`${url}/api/x`)
    await page.locator('tr[data-key="key-1"] .state.cooling').waitFor({ timeout: 10_000 })
    await page.locator('tr[data-key="key-2"] meter').waitFor()
    expect(await page.locator('tr[data-key="key-2"]').textContent()).toContain('99 of 100 requests left')
    expect(await page.locator('#news').textContent()).toContain('key-1 of /api is cooling')
    expect(await page.locator('canvas').count()).toBe(1)
    expect(await page.locator('.diagnosis').textContent()).not.toBe('')
    expect(await page.locator('button:has-text("Disable")').count()).toBe(0)
    const seen = (await page.content()) + traffic.join('')
    expect(seen).not.toMatch(/value-one|value-two/)
    expect(problems).toEqual([])
    await page.close()
  })

  it('asks the operator for his token, and does what he says, by keyboard too', async () => {
    const server = await loopback(() => ({ body: 'x' }))
    const made = await gateway({
      operator: { tokens: [hashToken('of-the-operator')] },
      routes: { '/api': { upstream: server.url, keys: 'value-one,value-two' } },
    })
    const { page, problems } = await open(made.url)
    await page.getByLabel("Operator's token").fill('wrong')
    await page.keyboard.press('Enter')
    await page.getByLabel("Operator's token").fill('of-the-operator')
    await page.keyboard.press('Enter')
    await page.getByRole('button', { name: 'Disable key-1' }).click()
    await page.locator('tr[data-key="key-1"] .state.disabled').waitFor()
    expect(made.pool('/api').pool.keys()[0]!.state).toBe('disabled')
    await page.getByRole('button', { name: 'Enable key-1' }).focus()
    await page.keyboard.press('Enter')
    await page.locator('tr[data-key="key-1"] .state.ready').waitFor()
    expect(made.pool('/api').pool.keys()[0]!.state).toBe('ready')
    expect(problems).toEqual([])
    await page.close()
  })

  it('fits a phone, and the dark', async () => {
    const server = await loopback(() => ({ body: 'x' }))
    const { url } = await gateway({
      routes: { '/a-rather-long-name-of-a-route': { upstream: server.url, keys: 'value-one' } },
    })
    const { page } = await open(url, { viewport: { width: 360, height: 640 }, colorScheme: 'dark' })
    await stateOf(page, 'key-1').waitFor()
    // In the page's own world, which this file's types know nothing of.
    expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true)
    const [ground, text] = (await page.evaluate(
      '[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]',
    )) as string[]
    const light = (color: string) =>
      color
        .match(/\d+/g)!
        .slice(0, 3)
        .reduce((sum, each) => sum + Number(each), 0)
    expect(light(ground!)).toBeLessThan(200)
    expect(light(text!)).toBeGreaterThan(500)
    await page.close()
  })
})
