-- Remembers a login that failed, with the same commands whether or not the address has an account; only how long they
-- remember differs. Of addresses without an account each client network keeps the newest alone.
--
-- KEYS: the address's failures, the addresses at which this client network failed.
-- ARGV: now in ms; 1 if the address has an account; how many failures lock it; how many are free; how long to remember in s:
-- an address without an account, free failures of an account, more of them; how many addresses a network keeps.
local key, network = KEYS[1], KEYS[2]
local now, has_account = tonumber(ARGV[1]), ARGV[2] == '1'
local limit, free, most = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[8])
local failures = redis.call('hincrby', key, 'failures', 1)
redis.call('hset', key, 'account', ARGV[2])
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
redis.call('zadd', network, now, key)
redis.call('expire', network, ARGV[5])
local excess = redis.call('zcard', network) - most
if excess > 0 then
    for _, oldest in ipairs(redis.call('zrange', network, 0, excess - 1)) do
        redis.call('zrem', network, oldest)
        if redis.call('hget', oldest, 'account') == '0' then
            redis.call('del', oldest)
        end
    end
end
