-- Runs every Redis command of the programs, so that a missing permission or command is found before requests and mails fail.
--
-- KEYS: a string, a hash, a sorted set, a list and a set that belong to this check; then keys of the programs.
-- ARGV: the lifetime of the string in s; then the expected type of each key of the programs.
local text, hash, zset, list, set = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
-- First, since a full Redis executes scripts that begin with a deletion.
redis.call('set', text, '', 'EX', ARGV[1])
redis.call('del', hash, zset, list, set)
for i = 6, #KEYS do
    local found, expected = redis.call('type', KEYS[i]).ok, ARGV[i - 4]
    if found ~= 'none' and found ~= expected then
        return redis.error_reply('WRONGTYPE ' .. KEYS[i] .. ' is a ' .. found .. ' instead of a ' .. expected)
    end
end
redis.call('time')
redis.call('get', text)
redis.call('mget', text)
redis.call('exists', text)
redis.call('persist', text)
redis.call('expire', text, ARGV[1])
redis.call('pexpire', text, ARGV[1] * 1000)
redis.call('hset', hash, 'field', 1)
redis.call('hsetnx', hash, 'field', 1)
redis.call('hmset', hash, 'field', 1)
redis.call('hincrby', hash, 'field', 1)
redis.call('hget', hash, 'field')
redis.call('hmget', hash, 'field')
redis.call('hgetall', hash)
redis.call('hdel', hash, 'field')
redis.call('zadd', zset, 1, 'member')
redis.call('zscore', zset, 'member')
redis.call('zmscore', zset, 'member')
redis.call('zcard', zset)
redis.call('zcount', zset, 0, 1)
redis.call('zrange', zset, 0, 0)
redis.call('zrangebyscore', zset, 0, 1)
redis.call('zrevrangebyscore', zset, 1, 0)
redis.call('zremrangebyscore', zset, 0, 0)
redis.call('zremrangebyrank', zset, 0, -2)
redis.call('zrem', zset, 'member')
redis.call('rpush', list, 'element')
redis.call('lpush', list, 'element')
redis.call('llen', list)
redis.call('lrange', list, 0, 0)
redis.call('lrem', list, 1, 'element')
redis.call('ltrim', list, 1, 0)
redis.call('sadd', set, 'member')
redis.call('sismember', set, 'member')
redis.call('smembers', set)
redis.call('srem', set, 'member')
redis.call('spop', set, 1)
return redis.status_reply('OK')
