/** The page of a gateway: what each pool's keys are doing, live, and what the operator may do about it. */
const TOKEN = 'keypool-operator-token'
const $ = id => document.getElementById(id)
const charts = new Map()
const before = new Map()
let abort

/** An element with attributes and children; texts are texts, whatever is in them. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value)
    else if (value !== undefined && value !== false) element.setAttribute(name, value === true ? '' : value)
  }
  element.append(...children.flat().filter(child => child !== undefined && child !== null))
  return element
}

function headers() {
  const token = sessionStorage.getItem(TOKEN)
  return token ? { authorization: `Bearer ${token}` } : {}
}

function say(text) {
  if ($('connection').textContent !== text) $('connection').textContent = text
}

const count = value => new Intl.NumberFormat().format(value)
function span(milliseconds) {
  if (milliseconds < 1_000) return `${Math.round(milliseconds)} ms`
  const seconds = Math.round(milliseconds / 1_000)
  if (seconds < 90) return `${seconds} s`
  if (seconds < 5_400) return `${Math.round(seconds / 60)} min`
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} d`
}
function windowOf(per) {
  if (per === null) return 'at once'
  return typeof per === 'number' ? `in ${span(per)}` : `a ${per}`
}

/** When a limit will be dry at the rate of the last half minute; nothing where it fills again before that. */
function forecast(name, { remaining, per }, now) {
  const windows = typeof per === 'string' || per >= 60_000
  if (!windows) return undefined
  const points = before.get(name) ?? []
  const last = points.at(-1)
  if (last && remaining > last.remaining) points.length = 0
  points.push({ at: now, remaining })
  while (points.length > 30) points.shift()
  before.set(name, points)
  const [first] = points
  const used = first.remaining - remaining
  const took = now - first.at
  if (used <= 0 || took < 10_000) return undefined
  const dry = (remaining * took) / used
  return typeof per === 'number' && dry > per ? undefined : dry
}

function gauge(route, key, limit, now) {
  const { unit, remaining, limit: most, per, learnt } = limit
  const label = `${count(remaining)} of ${most === null ? '?' : count(most)} ${unit} left ${windowOf(per)}${learnt ? ' (found out)' : ''}`
  const dry = forecast(`${route} ${key.id} ${unit} ${per}`, limit, now)
  return make(
    'div',
    {},
    most === null
      ? undefined
      : make('meter', { min: 0, max: most, low: most * 0.2, value: remaining, 'aria-label': `${key.id}: ${label}` }),
    ` ${label}`,
    dry === undefined ? undefined : make('strong', { class: 'busy' }, ` · dry in about ${span(dry)}`),
  )
}

function row(route, key, mayAct, now) {
  const back = key.until ? span(Math.max(0, new Date(key.until) - now)) : ''
  const refusals = Object.entries(key.refusals).filter(([, number]) => number > 0)
  const act = action => () => change(route, action, key.id)
  const cell = (label, ...children) => make('td', { 'data-label': label }, ...children)
  return make(
    'tr',
    { 'data-key': key.id },
    make('th', { scope: 'row' }, key.id),
    cell('State', make('span', { class: `state ${key.state}` }, key.state), key.cause ? ` (${key.cause})` : ''),
    cell('Back in', back || '–'),
    cell('Left', make('div', {}, key.limits.length > 0 ? key.limits.map(limit => gauge(route, key, limit, now)) : '–')),
    cell('On the way', count(key.inFlight)),
    cell('Sent', count(key.attempts)),
    cell(
      'Refused',
      refusals.length > 0 ? refusals.map(([cause, number]) => `${cause} ${count(number)}`).join(', ') : '–',
    ),
    mayAct
      ? cell(
          'Do',
          make(
            'div',
            {},
            key.state === 'disabled'
              ? make('button', { type: 'button', 'aria-label': `Enable ${key.id}`, onclick: act('enable') }, 'Enable')
              : make(
                  'button',
                  { type: 'button', 'aria-label': `Disable ${key.id}`, onclick: act('disable') },
                  'Disable',
                ),
            make('button', { type: 'button', 'aria-label': `Reset ${key.id}`, onclick: act('reset') }, 'Reset'),
          ),
        )
      : undefined,
  )
}

function totals({ stats }) {
  const { cache } = stats
  const asked = cache.hits + cache.misses
  const items = [
    ['calls', count(stats.requests)],
    ['waiting', count(stats.waiting)],
    ['on the way', count(stats.inFlight)],
    ['waited (95%)', span(stats.waits.p95)],
    ['answered in (95%)', span(stats.latency.p95)],
    ['from the cache', asked === 0 ? '–' : `${Math.round((cache.hits / asked) * 100)}%`],
    ['retries', count(stats.retries)],
    ['failed', count(stats.failed)],
  ]
  return make(
    'dl',
    {},
    items.map(([name, value]) => make('div', {}, make('dt', {}, name), make('dd', {}, value))),
  )
}

function chart(section, path, seconds) {
  const data = [
    seconds.map(({ at }) => new Date(at) / 1_000),
    seconds.map(({ passed }) => passed),
    seconds.map(({ refused }) => refused),
    seconds.map(({ cacheHits }) => cacheHits),
  ]
  const known = charts.get(path)
  if (known) {
    known.setData(data)
    return
  }
  const color = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim()
  const axis = {
    stroke: color('--quiet'),
    grid: { stroke: color('--line'), width: 1 },
    ticks: { stroke: color('--line') },
  }
  const place = section.querySelector('.chart')
  const points = { show: false }
  charts.set(
    path,
    new uPlot(
      {
        width: Math.max(240, place.clientWidth),
        height: 170,
        series: [
          {},
          { label: 'passed', stroke: color('--ready'), width: 2, points },
          { label: 'refused', stroke: color('--away'), width: 2, dash: [6, 3], points },
          { label: 'from the cache', stroke: color('--link'), width: 1.5, dash: [2, 3], points },
        ],
        axes: [axis, { ...axis, size: 40 }],
        scales: { y: { range: (_, __, most) => [0, Math.max(5, most * 1.1)] } },
        legend: { live: false },
        cursor: { show: false },
      },
      data,
      place,
    ),
  )
}

function render({ routes, mayAct, at }) {
  const now = new Date(at).getTime()
  const main = $('routes')
  const paths = routes.map(({ path }) => path)
  for (const section of [...main.children]) {
    if (paths.includes(section.dataset.route)) continue
    charts.get(section.dataset.route)?.destroy()
    charts.delete(section.dataset.route)
    section.remove()
  }
  for (const route of routes) {
    let section = [...main.children].find(each => each.dataset.route === route.path)
    if (!section) {
      section = make(
        'section',
        { 'data-route': route.path, 'aria-label': `Pool ${route.path}` },
        make('h2', {}, route.path),
        make('div', { class: 'totals' }),
        make('div', {
          class: 'chart',
          role: 'img',
          'aria-label': 'Requests of the last minute, by the second: passed, refused, from the cache',
        }),
        make('table', { class: 'keys' }, make('thead'), make('tbody')),
        make('h3', {}, 'Why keys run out'),
        make('pre', { class: 'diagnosis' }),
      )
      main.append(section)
    }
    section.querySelector('.totals').replaceChildren(totals(route))
    chart(section, route.path, route.seconds)
    const names = ['Key', 'State', 'Back in', 'Left', 'On the way', 'Sent', 'Refused', ...(mayAct ? ['Do'] : [])]
    section.querySelector('.keys thead').replaceChildren(
      make(
        'tr',
        {},
        names.map(name => make('th', { scope: 'col' }, name)),
      ),
    )
    // What has the focus keeps it.
    const focused = section.contains(document.activeElement) ? document.activeElement.getAttribute('aria-label') : null
    section.querySelector('.keys tbody').replaceChildren(...route.keys.map(key => row(route.path, key, mayAct, now)))
    if (focused) section.querySelector(`[aria-label="${CSS.escape(focused)}"]`)?.focus()
    const pre = section.querySelector('.diagnosis')
    if (pre.textContent !== route.diagnosis) pre.textContent = route.diagnosis
    for (const key of route.keys) announce(route.path, key)
  }
}

const states = new Map()
/** Says aloud what has changed. */
function announce(path, { id, state, cause }) {
  const name = `${path} ${id}`
  const known = states.get(name)
  states.set(name, state)
  const matters = state === 'cooling' || state === 'disabled' || known === 'cooling' || known === 'disabled'
  if (known !== undefined && known !== state && matters) {
    $('news').textContent = `${id} of ${path} is ${state}${cause ? ` (${cause})` : ''}`
  }
}

async function change(path, action, id) {
  const answer = await fetch(`api/keys${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers() },
    body: JSON.stringify({ action, id }),
  })
  $('news').textContent = answer.ok ? `${id}: ${action} is done` : `${id}: ${(await answer.json()).title}`
}

async function listen() {
  abort?.abort()
  abort = new AbortController()
  const { signal } = abort
  let wait = 500
  while (!signal.aborted) {
    try {
      const answer = await fetch('api/live', { headers: headers(), signal })
      $('logout').hidden = !sessionStorage.getItem(TOKEN)
      if (answer.status === 401) {
        sessionStorage.removeItem(TOKEN)
        $('login').hidden = false
        say("The operator's token is needed.")
        return
      }
      if (!answer.ok) throw new Error(`${answer.status}`)
      $('login').hidden = true
      say('Live')
      wait = 500
      await read(answer.body)
    } catch {
      if (signal.aborted) return
    }
    say('The gateway does not answer; trying again…')
    await new Promise(resolve => setTimeout(resolve, wait))
    wait = Math.min(10_000, wait * 2)
  }
}

/** Reads events as they come; the stream's end returns. */
async function read(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    text += value
    const events = text.split('\n\n')
    text = events.pop()
    const last = events.at(-1)
    if (last?.startsWith('data: ')) render(JSON.parse(last.slice(6)))
  }
}

$('login').addEventListener('submit', event => {
  event.preventDefault()
  sessionStorage.setItem(TOKEN, $('token').value)
  $('token').value = ''
  void listen()
})
$('logout').addEventListener('click', () => {
  sessionStorage.removeItem(TOKEN)
  location.reload()
})
addEventListener('resize', () => {
  for (const [path, plot] of charts) {
    const section = [...$('routes').children].find(each => each.dataset.route === path)
    if (section) plot.setSize({ width: Math.max(240, section.clientWidth - 32), height: 170 })
  }
})
void listen()
