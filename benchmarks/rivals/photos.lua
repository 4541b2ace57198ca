-- For wrk: photos in forms, one after another. wrk … -s photos.lua URL -- photo.jpg …
local bodies, at, threads = {}, 0, {}

function setup(thread)
  table.insert(threads, thread)
end

function init(files)
  overloaded, failed = 0, 0 -- global: `done` reads them from each thread
  for _, path in ipairs(files) do
    local file = assert(io.open(path, "rb"))
    local head = '--photo\r\nContent-Disposition: form-data; name="image"; filename="photo.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    table.insert(bodies, head .. file:read("*a") .. "\r\n--photo--\r\n")
    file:close()
  end
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "multipart/form-data; boundary=photo"
end

function request()
  at = at % #bodies + 1
  return wrk.format(nil, nil, nil, bodies[at])
end

function response(status)
  if status == 503 then overloaded = overloaded + 1 elseif status >= 400 then failed = failed + 1 end
end

function done(summary, latency)
  local rejected, lost = 0, summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  for _, thread in ipairs(threads) do
    rejected, lost = rejected + thread:get("overloaded"), lost + thread:get("failed")
  end
  io.write(string.format('\n{"requests": %d, "seconds": %f, "p50": %f, "p99": %f, "rejected": %d, "lost": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e6, latency:percentile(99) / 1e6, rejected, lost))
end
