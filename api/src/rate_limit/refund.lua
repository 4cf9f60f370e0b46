-- Refunds one attempt: takes it out of its window, or takes back a strike with the wait that it caused, unless a later one
-- has replaced that wait. Leaves alone what was reset meanwhile.
--
-- KEYS: the counter, the list of lockouts, the list of counters with its lifetime. ARGV: until when the strike refuses, the
-- request's name, how long the counter is kept in s.
local key, lockouts = KEYS[1], KEYS[2]
local till, member, kept = ARGV[1], ARGV[2], ARGV[3]
local kind = redis.call('type', key).ok
if kind == 'zset' then
    redis.call('zrem', key, member)
    redis.call('zrem', lockouts, key)
elseif kind == 'hash' then
    if redis.call('hincrby', key, 'failed_attempts', -1) <= 0 then
        redis.call('del', key)
        redis.call('zrem', lockouts, key)
    elseif redis.call('hget', key, 'until') == till then
        redis.call('hdel', key, 'until')
        redis.call('expire', key, kept)
        redis.call('zrem', lockouts, key)
    end
end
if redis.call('exists', key) == 0 then
    redis.call('zrem', KEYS[3], key)
end
