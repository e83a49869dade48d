-- provision.lua: wrk script; POST /api/v1/provision with a new device name in every request.
--
-- usage: wrk -t1 -c128 -d10s --latency -s provision.lua http://127.0.0.1:8080/api/v1/provision
-- environment: BENCH_KEY, BENCH_SECRET  files that hold the provision key and secret
--              PREFIX                   start of the device names (default: the time, so that runs do not meet)
--              CHECK=1                  look at every answer and count those that say SUCCESS
--                                       (costs wrk about a tenth of its rate)
-- prints at the end one line: RESULT requests=… rps=… p50_us=… p99_us=… bad=… [success=…]
local threads, n = {}, 0

local function first_line(path, otherwise)
  if not path then return otherwise end
  local file = assert(io.open(path))
  local text = file:read("l") or file:read("*l")
  file:close()
  return text
end

function setup(thread)
  thread:set("id", n)
  n = n + 1
  table.insert(threads, thread)
end

function init(args)
  local prefix = os.getenv("PREFIX") or string.format("%x", os.time())
  local key = first_line(os.getenv("BENCH_KEY"), "provisionkey00000001")
  local secret = first_line(os.getenv("BENCH_SECRET"), "provisionsecret00001")
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  head = '{"deviceName":"dev-' .. prefix .. "-" .. id .. "-"
  tail = '","provisionDeviceKey":"' .. key .. '","provisionDeviceSecret":"' .. secret .. '"}'
  count, success = 0, 0
  -- The body has a fixed length, so the header is formatted once and wrk.format stays out of the hot path.
  local body = head .. string.format("%09d", 0) .. tail
  local whole = wrk.format(nil, nil, nil, body)
  local at = whole:find(body, 1, true)
  before = whole:sub(1, at - 1) .. head
end

function request()
  count = count + 1
  return before .. string.format("%09d", count) .. tail
end

if os.getenv("CHECK") then
  function response(status, headers, body)
    if body:find('"SUCCESS"', 1, true) then success = success + 1 end
  end
end

function done(summary, latency, requests)
  local e = summary.errors
  local ok = 0
  for _, thread in ipairs(threads) do ok = ok + thread:get("success") end
  io.write(string.format("RESULT requests=%d rps=%.0f p50_us=%d p99_us=%d bad=%d%s\n", summary.requests,
    summary.requests * 1e6 / summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout, os.getenv("CHECK") and " success=" .. ok or ""))
end
