-- Tells after a run of wrk how many requests took how many microseconds, a line for each time, behind a line with what wrk went by.
function done(summary, latency)
   io.write(string.format("Latencies of %d in %d\n", summary.requests, summary.duration))
   for at = 1, #latency do
      local time, count = latency(at)
      io.write(string.format("%d %d\n", time, count))
   end
end
