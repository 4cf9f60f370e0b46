-- Refunds one attempt: removes it from its window, or subtracts a failed attempt and ends its delay, unless a later attempt has
-- replaced that delay. Does nothing if the counter was reset in the meantime.
--
-- KEYS: the counter, the list of lockouts, the list that tracks the counter.
-- ARGV: until when the failed attempt delays others in ms; the id of the request; the lifetime of the counter in s.
local key, lockouts = KEYS[1], KEYS[2]
local delayed_until, member, ttl = ARGV[1], ARGV[2], ARGV[3]
local kind = redis.call('type', key).ok
if kind == 'zset' then
    redis.call('zrem', key, member)
    redis.call('zrem', lockouts, key)
elseif kind == 'hash' then
    if redis.call('hincrby', key, 'failed_attempts', -1) <= 0 then
        redis.call('del', key)
        redis.call('zrem', lockouts, key)
    elseif redis.call('hget', key, 'until') == delayed_until then
        redis.call('hdel', key, 'until')
        redis.call('expire', key, ttl)
        redis.call('zrem', lockouts, key)
    end
end
if redis.call('exists', key) == 0 then
    redis.call('zrem', KEYS[3], key)
end
