import { createHash } from 'node:crypto'

/** A script with the name by which Redis knows it once it was sent. */
export interface Script {
  readonly source: string
  readonly sha: string
}

const script = (source: string): Script => ({ source, sha: createHash('sha1').update(source).digest('hex') })

/**
 * Divides limits between processes.
 *
 * KEYS: the hash of all that is divided. ARGV: what one process holds and would like to hold, as JSON; the channel.
 * Answers, as JSON, with Redis' own time, who there is, and for each limit how much of it the process may hold now.
 *
 * A process says each time all that it holds, so that a lost answer, a Redis that has come back empty, and a replica that
 * has missed something are put right by the next time. What a dead process held comes back when all that it can have
 * sent is forgotten by the server: at the end of its lease, and as much later as the window is long.
 *
 * All of it is one blob for each quota: a round trip takes four commands, however many keys there are.
 */
export const DIVIDE = script(`
local clock = redis.call('TIME')
local now = clock[1] * 1000 + clock[2] / 1000
local asked = cjson.decode(ARGV[1])
local me, lease = asked.me, asked.lease

local fields = {'*'}
for i, quota in ipairs(asked.quotas) do fields[i + 1] = quota.name end
local stored = redis.call('HMGET', KEYS[1], unpack(fields))

local crew
if stored[1] then
  crew = cmsgpack.unpack(stored[1])
else
  crew = {m = {}, quiet = 0}
  -- All has been lost: nothing is given out till everyone has said what they hold.
  if asked.crew > 1 then crew.quiet = now + lease / 2 end
end
local size, active = 0, {}
if asked.leaving then crew.m[me] = nil else crew.m[me] = {s = now, a = asked.active} end
for id, member in pairs(crew.m) do
  if now - member.s > asked.life then
    crew.m[id] = nil
  else
    size = size + 1
    if member.a and now - member.s <= lease then active[#active + 1] = id end
  end
end
table.sort(active)
local rank = 0
for i, id in ipairs(active) do if id == me then rank = i - 1 end end

local nudged = {}

-- How much each is to hold: first what the heaviest request of each needs, then evenly, to nobody more than wanted.
local function targets(ledger, total, whole)
  local ids = {}
  for id, each in pairs(ledger.h) do if each.w > 0 then ids[#ids + 1] = id end end
  table.sort(ids)
  local given, left = {}, math.max(0, total)
  local least = 0
  for _, id in ipairs(ids) do least = least + math.min(ledger.h[id].m, ledger.h[id].w) end
  -- Where there is not enough for all, it goes round.
  local from = least > left and #ids > 0 and math.floor(now / asked.turn) % #ids or 0
  for i = 1, #ids do
    local id = ids[(i - 1 + from) % #ids + 1]
    local need = math.min(ledger.h[id].m, ledger.h[id].w)
    if need <= left then
      given[id] = need
      left = left - need
    else
      given[id] = 0
    end
  end
  local open = {}
  for _, id in ipairs(ids) do if given[id] > 0 and given[id] < ledger.h[id].w then open[#open + 1] = id end end
  while left > 1e-6 and #open > 0 do
    local each, still = left / #open, {}
    if whole then each = math.floor(each) end
    if each == 0 then
      for _, id in ipairs(open) do
        if left >= 1 then
          given[id] = given[id] + 1
          left = left - 1
        end
      end
      break
    end
    for _, id in ipairs(open) do
      local more = math.min(each, ledger.h[id].w - given[id])
      given[id] = given[id] + more
      left = left - more
      if given[id] < ledger.h[id].w - 1e-6 then still[#still + 1] = id end
    end
    open = still
  end
  return given
end

local function divide(ledger, claim)
  local whole = claim.r == 0
  local slight = whole and 0.5 or claim.n * 0.02
  local reserved, back, freed = 0, {}, false
  for _, each in ipairs(ledger.b) do
    if each[1] > now then
      back[#back + 1] = each
      reserved = reserved + each[2]
    else
      freed = true
    end
  end
  for id, each in pairs(ledger.h) do
    if id ~= me and each.s + lease < now then
      local at = each.e or each.s + lease + each.p
      if at > now and each.u > 0 then
        back[#back + 1] = {at, each.u}
        reserved = reserved + each.u
      end
      ledger.h[id] = nil
      freed = true
    end
  end
  ledger.b = back
  local before = ledger.h[me]
  local total = claim.n - reserved
  local others = 0
  for id, each in pairs(ledger.h) do if id ~= me then others = others + each.u end end

  if not whole then
    local spare = math.max(0, total - others - (before and before.u or claim.h))
    ledger.l = math.min(spare, ledger.l + (now - ledger.t) * claim.r * spare / claim.n)
    ledger.t = now
  end
  if asked.leaving then
    ledger.h[me] = nil
    local at = claim.e or now + claim.p
    if claim.x > 0 and at > now then ledger.b[#back + 1] = {at, claim.x} end
    freed = claim.h > claim.x
  else
    if before and before.u > claim.h + slight then freed = true end
    ledger.h[me] = {u = claim.h, w = claim.w, m = claim.m, x = claim.x, s = now, p = claim.p, e = claim.e, o = claim.o}
  end

  local target = targets(ledger, total, whole)
  local free = total - others - (asked.leaving and 0 or claim.h)
  local mine, grant, content = target[me] or 0, claim.h, 0
  local lacking = 0
  for id, each in pairs(ledger.h) do
    if id ~= me then lacking = lacking + math.max(0, (target[id] or 0) - each.u) end
  end
  if not asked.leaving then
    if mine > claim.h then
      if crew.quiet <= now then
        local more = math.min(mine - claim.h, math.max(0, free))
        if whole then more = math.floor(more) end
        if more > 0 and not whole then
          content = ledger.l * more / math.max(free, more)
          ledger.l = ledger.l - content
        end
        grant = claim.h + more
        free = free - more
        ledger.h[me].u = grant
      end
    elseif lacking > free + 1e-6 then
      -- Less than nothing is free where more is held than there is, as after each has stood alone.
      grant = math.max(mine, claim.h - (lacking - free))
      if whole then grant = math.floor(grant) end
    end
    if mine > grant + slight then
      for id, each in pairs(ledger.h) do
        if id ~= me and each.u > (target[id] or 0) + slight then nudged[id] = true end
      end
    end
  end
  if freed and free > 0 then
    for id, each in pairs(ledger.h) do
      if id ~= me and (target[id] or 0) > each.u + slight then nudged[id] = true end
    end
  end
  local elsewhere = math.max(0, free)
  for id, each in pairs(ledger.h) do
    if id ~= me then elsewhere = elsewhere + math.max(0, each.u - each.x) end
  end
  -- When something may come back to be had: at once, where it may at any moment.
  local soonest
  for _, each in ipairs(ledger.b) do soonest = math.min(soonest or each[1], each[1]) end
  for id, each in pairs(ledger.h) do
    if id ~= me and each.u > 0 then
      local at = each.u > each.x and 0 or each.o or 0
      soonest = math.min(soonest or at, at)
    end
  end
  if free >= 1 then soonest = 0 end
  return {grant, content, elsewhere, soonest or false}
end

-- What each has found out of a limit that nobody declared adds up to what there is.
local function learn(known, finding)
  local sum, latest
  if finding and not asked.leaving then
    finding.s = now
    known[me] = finding
  elseif asked.leaving and known[me] then
    known[me].s = math.min(known[me].s, now - lease)
  end
  for id, each in pairs(known) do
    if now - each.s > 3600000 then
      known[id] = nil
    else
      if not latest or each.s > latest.s then latest = each end
    end
  end
  if not latest then return false end
  for id, each in pairs(known) do
    if id ~= me and now - each.s <= lease and each.kind == latest.kind then sum = (sum or 0) + each.units end
  end
  return {kind = latest.kind, units = sum or latest.units, per = latest.per}
end

local changes, replies = {'*', cmsgpack.pack(crew)}, {}
for i, quota in ipairs(asked.quotas) do
  local ledgers = stored[i + 1] and cmsgpack.unpack(stored[i + 1]) or {}
  local grants = {}
  for j, claim in ipairs(quota.claims) do
    local ledger = ledgers[claim.k]
    if not ledger then
      ledger = {h = {}, b = {}, t = now, l = 0}
      if claim.h == 0 and crew.quiet <= now then ledger.l = claim.n end
      ledgers[claim.k] = ledger
    end
    grants[j] = divide(ledger, claim)
  end
  ledgers['?'] = ledgers['?'] or {}
  local learnt = learn(ledgers['?'], quota.finding)
  replies[i] = {g = grants, l = learnt}
  changes[#changes + 1] = quota.name
  changes[#changes + 1] = cmsgpack.pack(ledgers)
end
redis.call('HSET', KEYS[1], unpack(changes))
if not stored[1] or asked.renew then redis.call('PEXPIRE', KEYS[1], asked.keep) end

local to = {}
for id in pairs(nudged) do to[#to + 1] = id end
if #to > 0 then redis.call('PUBLISH', ARGV[2], cjson.encode({kind = 'nudge', to = to})) end
return cjson.encode({now = now, size = size, active = #active, rank = rank, quotas = replies})
`)

/**
 * Tells all processes what one has found out about a key, unless it is known better.
 *
 * KEYS: the hash of what is known; the claim of whoever tries the key. ARGV: the field, the news as JSON, who tells it,
 * the channel, how long it is kept. Answers with Redis' time and, where the news is out of date, with what is known.
 */
export const TELL = script(`
local news = cjson.decode(ARGV[2])
local text = redis.call('HGET', KEYS[1], ARGV[1])
if text then
  local known = cjson.decode(text)
  local stale = false
  if news.kind == 'cooling' then
    stale = (known.kind == 'open' and news.sentAt <= known.sentAt)
      or (known.kind == 'cooling' and news.sentAt <= known.refusedAt and news['until'] <= known['until'])
  elseif news.kind == 'open' then
    stale = (known.kind == 'cooling' and news.sentAt <= known.refusedAt)
      or (known.kind == 'open' and news.sentAt <= known.sentAt)
  elseif news.kind == 'rejected' then
    stale = known.kind == 'disabled' or (known.kind == 'enabled' and news.sentAt <= known.sentAt)
  elseif news.kind == 'enabled' then
    stale = known.kind == 'rejected' and news.sentAt < known.since
  end
  if stale then return text end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('DEL', KEYS[2])
redis.call('PUBLISH', ARGV[4], cjson.encode({kind = 'news', from = ARGV[3], field = ARGV[1], news = ARGV[2]}))
return false
`)
