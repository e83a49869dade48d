-- etcd.lua: wrk script; a put of 450 bytes under a new key through etcd's HTTP/JSON gateway (keys are base64).
local threads = 0
local digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

function setup(thread)
  thread:set("id", threads)
  threads = threads + 1
end

function init()
  count, prefix, value = 0, os.time() * 16 + id, string.rep("eHh4", 150)
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
end

function request()
  count = count + 1
  local rest, key = count, ""
  for _ = 1, 8 do
    key = key .. digits:sub(rest % 64 + 1, rest % 64 + 1)
    rest = math.floor(rest / 64)
  end
  return wrk.format(nil, nil, nil, '{"key":"' .. string.format("%012d", prefix) .. key .. '","value":"' .. value .. '"}')
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format("RESULT requests=%d rps=%.0f p50_us=%d p99_us=%d bad=%d\n", summary.requests,
    summary.requests * 1e6 / summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
