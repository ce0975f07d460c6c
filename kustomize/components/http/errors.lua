-- Refuses a query, and completes errors that leave as JSON. An error that asks to be tried again gets the headers that
-- HTTP clients know; one of Envoy's that has no message gets Envoy's reason as one; on OpenAI's paths the
-- google.rpc.Status becomes the error object of that API. A message that is too large is 413.

local types = {["401"] = "authentication_error", ["429"] = "rate_limit_error"}
local codes = {["401"] = '"invalid_api_key"', ["404"] = '"model_not_found"', ["429"] = '"rate_limit_exceeded"'}

local function is_openai(path)
  return path:find("^/v1/embeddings") or path:find("^/v1/models")
end

local function error_object(status, text)
  local other = status < "500" and "invalid_request_error" or "server_error"
  local kind = string.format('"type":"%s","param":null,"code":%s', types[status] or other, codes[status] or "null")
  return '{"error":' .. text:gsub('"code":%d+', kind, 1):gsub("%s*$", "") .. "}\n"
end

function envoy_on_request(request)
  local path = request:headers():get(":path") or ""
  if is_openai(path) then
    request:streamInfo():dynamicMetadata():set("paravec", "openai", true)
  end
  -- The transcoder would add what it names to the fields of the body.
  if path:find("^/v1/.*%?") then
    request:respond({[":status"] = "400"}, "a path has no query here: fields belong in the body")
  end
end

function envoy_on_response(response)
  local headers = response:headers()
  local status = headers:get(":status")
  if status < "400" or headers:get("content-type") ~= "application/json" then
    return
  end
  local milliseconds = headers:get("grpc-retry-pushback-ms")
  if milliseconds then
    headers:replace("retry-after-ms", milliseconds)
    headers:replace("retry-after", string.format("%d", math.ceil(tonumber(milliseconds) / 1000)))
  end
  -- Envoy's own errors tell them (envoy.yaml): it may refuse a request before envoy_on_request sees it.
  local path, details = headers:get("x-refused-path"), headers:get("x-refused-details")
  headers:remove("x-refused-path")
  headers:remove("x-refused-details")
  local openai = response:streamInfo():dynamicMetadata():get("paravec") or is_openai(path or "")
  if not openai and not details and (status ~= "429" or milliseconds) then
    return
  end
  local body = response:body(true)
  -- The headers from before are no longer valid: body() may have waited.
  headers = response:headers()
  local before = body:getBytes(0, body:length())
  local text = before
  if details then
    text = text:gsub('"message":""', '"message":"' .. details:gsub("%W", " ") .. '"', 1)
  end
  -- gRPC's refusal of a message that is too large for the server. It would be so at each further try.
  if status == "429" and not milliseconds and text:find("Received message larger than max", 1, true) then
    status = "413"
    headers:replace(":status", status)
  end
  -- The answer to HEAD has no body.
  if openai and text ~= "" then
    text = error_object(status, text)
  end
  if text ~= before then
    headers:replace("content-length", tostring(body:setBytes(text)))
  end
end
