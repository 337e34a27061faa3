-- Puts to groups in turn, each time round with the next body, so that no push says what is known already.
-- Arguments: how many groups, their path with %d for the number, the content type, the files of the bodies.

local requests, at = {}, 0

function init(args)
  local groups, path, headers = tonumber(args[1]), args[2], { ["Content-Type"] = args[3] }
  for argument = 4, #args do
    local file = assert(io.open(args[argument], "rb"))
    local body = file:read("*a")
    file:close()
    for group = 0, groups - 1 do
      requests[#requests + 1] = wrk.format("PUT", path:gsub("%%d", group), headers, body)
    end
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end
