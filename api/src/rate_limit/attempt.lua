-- Checks the counters of a request and, if none refuses it, increments all of them.
--
-- KEYS: the counters, then the list of lockouts.
-- ARGV: now in ms; the id of the request, or empty for a check that counts nothing; the maximum delay in s; the maximum length of
-- the list of lockouts; the prefix of the lists of counters; the maximum length of such a list. Then five values for each counter:
-- its kind, limit, span, lifetime in s, and owner.
--   kind window           a sorted set of the times of counted requests; allows `limit` requests in any `span` ms
--   kind lock             a hash that is only read: refuses requests until the time in its field `until`
--   kind delays           a hash that counts failed attempts: the first `span` cause no delay, then the delay doubles
--   kind failed_attempts  the same, and locks without end at `limit`
--   owner account_id      an account by its id: clients cannot create such counters at will, so no list tracks them
--   owner account_mailbox the mailbox of an account
--   owner unverified      a client network, or an email that may have no account
-- Returns the number of the counter that refuses the request (0 for none), for how many ms it does, and until when the new failed
-- attempt delays others (0 for no delay).
local now, member = tonumber(ARGV[1]), ARGV[2]
local lists, max = ARGV[5], tonumber(ARGV[6])
local lockouts = table.remove(KEYS)
local function counter(i)
    local at = 5 * i + 1
    return ARGV[at + 1], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), ARGV[at + 4], ARGV[at + 5]
end
local refused_by, wait, delayed_until = 0, 0, 0
local function refuse(i, ms)
    if ms > wait then refused_by, wait = i, ms end
end
for i, key in ipairs(KEYS) do
    local kind, limit, span = counter(i)
    if kind == 'window' then
        redis.call('zremrangebyscore', key, '-inf', now - span)
        if redis.call('zcard', key) >= limit then
            local oldest = redis.call('zrange', key, -limit, -limit, 'withscores')
            refuse(i, math.max(oldest[2] + span - now, 1))
        end
    else
        refuse(i, math.max(tonumber(redis.call('hget', key, 'until') or 0) - now, 0))
    end
end
if refused_by > 0 then
    redis.call('zremrangebyscore', lockouts, '-inf', now)
    redis.call('zadd', lockouts, now + wait, KEYS[refused_by])
    redis.call('zremrangebyrank', lockouts, 0, -tonumber(ARGV[4]) - 1)
    return {refused_by, wait, 0}
end
if member == '' then return {0, 0, 0} end
local function increment(i, key)
    local kind, limit, span, ttl = counter(i)
    if kind == 'window' then
        redis.call('zadd', key, now, member)
        redis.call('pexpire', key, span)
    elseif kind ~= 'lock' then
        local failed_attempts = redis.call('hincrby', key, 'failed_attempts', 1)
        local locks = kind == 'failed_attempts' and failed_attempts >= limit
        if locks then
            delayed_until = now + 3650 * 86400000
        elseif failed_attempts >= span then
            delayed_until = now + math.min(2 ^ (failed_attempts - span), tonumber(ARGV[3])) * 1000
        end
        if delayed_until > 0 then
            redis.call('hset', key, 'until', delayed_until)
        end
        if locks then
            redis.call('persist', key)
        else
            redis.call('expire', key, ttl)
        end
    end
end
for i, key in ipairs(KEYS) do
    local _, _, _, ttl, owner = counter(i)
    if owner == 'account_id' then
        increment(i, key)
    else
        local existed = redis.call('exists', key) == 1
        increment(i, key)
        track(key, existed, owner == 'account_mailbox', ttl, now, lists, max, lockouts)
    end
end
return {0, 0, delayed_until}
