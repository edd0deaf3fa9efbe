-- wrk --script wrk.lua URL -- FILE NUMBER
--
-- FILE holds whole HTTP requests, separated by NUL, that are sent in turn. "@@@@@@" in a request is replaced
-- by six digits that differ each time, from NUMBER on.
local requests, sent, number = {}, 0, 0

function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  for text in file:read("*a"):gmatch("%Z+") do
    local before, after = text:match("^(.-)@@@@@@(.*)$")
    table.insert(requests, { text = text, before = before, after = after })
  end
  file:close()
  number = tonumber(arguments[2])
end

function request()
  sent = sent + 1
  local each = requests[sent % #requests + 1]
  if each.after == nil then
    return each.text
  end
  number = (number + 1) % 1000000
  return each.before .. string.format("%06d", number) .. each.after
end

function done(summary)
  local errors = 0
  for _, count in pairs(summary.errors) do
    errors = errors + count
  end
  print(string.format("requests %d microseconds %d bytes %d errors %d",
    summary.requests, summary.duration, summary.bytes, errors))
end
