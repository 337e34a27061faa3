-- What a run of wrk came to, in one line.

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  local line = "figures requests=%d microseconds=%d p50=%d p99=%d failed=%d\n"
  local p50, p99 = latency:percentile(50), latency:percentile(99)
  io.write(line:format(summary.requests, summary.duration, p50, p99, failed))
end
