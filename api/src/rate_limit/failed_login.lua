-- Remembers a login that failed, with the same commands whether or not the address has an account; only how long they
-- remember differs, and that the counters of an account are on no list.
--
-- KEYS: the address's failures, its failed_attempts, the list of lockouts.
-- ARGV: now in ms; 1 if the address has an account; how many failures lock it; how many are free; how long to remember in s:
-- an address without an account, free failures of an account, more of them; how long failed_attempts are kept in s; the beginning of
-- the names of the lists of counters; how long one of these may be.
local key, failed_attempts, lockouts = KEYS[1], KEYS[2], KEYS[3]
local now, has_account = tonumber(ARGV[1]), ARGV[2] == '1'
local limit, free = tonumber(ARGV[3]), tonumber(ARGV[4])
local lists, max = ARGV[9], tonumber(ARGV[10])
local existed = redis.call('exists', key) == 1
local failures = redis.call('hincrby', key, 'failures', 1)
if failures >= limit then
    redis.call('hset', key, 'until', now + 3650 * 86400000)
end
if has_account and failures >= limit then
    redis.call('persist', key)
elseif has_account then
    redis.call('expire', key, ARGV[failures < free and 6 or 7])
else
    redis.call('expire', key, ARGV[5])
end
track(key, existed, has_account, ARGV[5], now, lists, max, lockouts)
track(failed_attempts, redis.call('exists', failed_attempts) == 1, has_account, ARGV[8], now, lists, max, lockouts)
