-- For wrk: bodies one after another; at the end all latencies in µs with their counts.
-- wrk … -s load.lua URL -- content-type body …
local bodies, at, threads = {}, 0, {}
function setup(thread) table.insert(threads, thread) end
function init(arguments)
  failed = 0
  wrk.method, wrk.headers["Content-Type"] = "POST", arguments[1]
  for number = 2, #arguments do
    local file = assert(io.open(arguments[number], "rb"))
    table.insert(bodies, file:read("*a"))
    file:close()
  end
end
function request() at = at % #bodies + 1 return wrk.format(nil, nil, nil, bodies[at]) end
function response(status) if status >= 400 then failed = failed + 1 end end
function done(summary, latency)
  local failures, errors = 0, summary.errors
  for _, thread in ipairs(threads) do failures = failures + thread:get("failed") end
  failures = failures + errors.connect + errors.read + errors.write + errors.timeout
  local seconds = summary.duration / 1e6
  io.write(string.format('\n{"requests": %d, "failed": %d, "seconds": %f, "latencies": [', summary.requests, failures, seconds))
  for number = 1, #latency do
    local value, count = latency(number)
    io.write(string.format('%s[%d, %d]', number > 1 and ", " or "", value, count))
  end
  io.write("]}\n")
end
