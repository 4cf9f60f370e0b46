-- Asks all counters of a request whether they let it through and, if none objects, raises all of them.
--
-- KEYS: the counters, then the list of lockouts.
-- ARGV: now in ms; the request's name, or nothing for a request that is checked and not counted; the longest wait in s; how long
-- the list of lockouts may be; the beginning of the names of the lists of counters; how long one of these may be; then of each
-- counter its kind, limit, span, how long it is kept in s, and to whom it belongs:
--   window   a sorted set of the moments that were let through; limit of them in any span of ms
--   lock     a hash that is only read: refuses until the moment in its field `until`
--   waits    a hash of failures, of which span are free; each of the others refuses for twice as long as the one before
--   failed_attempts  the same, and at limit for ever
--   fixed    it belongs to a counter that no client can invent: on no list
--   account  it belongs to an account
--   anyone   it belongs to a client, or to an address of which it is not known whether it has an account
-- Returns which counter refuses (0 for none), for how many ms, and until when the strike refuses others (0 for no wait).
local now, member = tonumber(ARGV[1]), ARGV[2]
local lists, max = ARGV[5], tonumber(ARGV[6])
local lockouts = table.remove(KEYS)
local function counter(i)
    local at = 5 * i + 1
    return ARGV[at + 1], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), ARGV[at + 4], ARGV[at + 5]
end
local refused, wait, till = 0, 0, 0
local function object(i, ms)
    if ms > wait then refused, wait = i, ms end
end
for i, key in ipairs(KEYS) do
    local kind, limit, span = counter(i)
    if kind == 'window' then
        redis.call('zremrangebyscore', key, '-inf', now - span)
        if redis.call('zcard', key) >= limit then
            local oldest = redis.call('zrange', key, -limit, -limit, 'withscores')
            object(i, math.max(oldest[2] + span - now, 1))
        end
    else
        object(i, math.max(tonumber(redis.call('hget', key, 'until') or 0) - now, 0))
    end
end
if refused > 0 then
    redis.call('zremrangebyscore', lockouts, '-inf', now)
    redis.call('zadd', lockouts, now + wait, KEYS[refused])
    redis.call('zremrangebyrank', lockouts, 0, -tonumber(ARGV[4]) - 1)
    return {refused, wait, 0}
end
if member == '' then return {0, 0, 0} end
local function raise(i, key)
    local kind, limit, span, kept = counter(i)
    if kind == 'window' then
        redis.call('zadd', key, now, member)
        redis.call('pexpire', key, span)
    elseif kind ~= 'lock' then
        local failed_attempts = redis.call('hincrby', key, 'failed_attempts', 1)
        local ends = kind == 'failed_attempts' and failed_attempts >= limit
        if ends then
            till = now + 3650 * 86400000
        elseif failed_attempts >= span then
            till = now + math.min(2 ^ (failed_attempts - span), tonumber(ARGV[3])) * 1000
        end
        if till > 0 then
            redis.call('hset', key, 'until', till)
        end
        if ends then
            redis.call('persist', key)
        else
            redis.call('expire', key, kept)
        end
    end
end
for i, key in ipairs(KEYS) do
    local _, _, _, kept, whose = counter(i)
    if whose == 'fixed' then
        raise(i, key)
    else
        local existed = redis.call('exists', key) == 1
        raise(i, key)
        track(key, existed, whose == 'account', kept, now, lists, max, lockouts)
    end
end
return {0, 0, till}
