-- Issues one voucher. Redis runs a script as a whole: nothing comes in between.
-- KEYS: what stands under the caller's key; the template; the user's counter; the stream of vouchers
-- ARGV: the caller's key; template; user
-- Returns the answer (see package peer) and the voucher's id.
local voucher = redis.call('GET', KEYS[1])
if voucher then
  return {1, voucher}
end
local template = redis.call('HMGET', KEYS[2], 'stock', 'issued', 'per_user')
if tonumber(template[2]) >= tonumber(template[1]) then
  return {2, ''}
end
if tonumber(redis.call('GET', KEYS[3]) or '0') >= tonumber(template[3]) then
  return {3, ''}
end
redis.call('HINCRBY', KEYS[2], 'issued', 1)
redis.call('INCR', KEYS[3])
voucher = redis.call('XADD', KEYS[4], '*', 'key', ARGV[1], 'template', ARGV[2], 'user', ARGV[3])
redis.call('SET', KEYS[1], voucher)
return {0, voucher}
