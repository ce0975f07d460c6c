-- Completes errors that leave as JSON. Each that asks to be tried again gets the headers that HTTP clients know, and on
-- OpenAI's paths the google.rpc.Status becomes the error object of that API.

local types = {
  ["400"] = "invalid_request_error", ["401"] = "authentication_error", ["404"] = "invalid_request_error",
  ["429"] = "rate_limit_error",
}
local codes = {["401"] = '"invalid_api_key"', ["404"] = '"model_not_found"', ["429"] = '"rate_limit_exceeded"'}

local function is_openai(path)
  return path:find("^/v1/embeddings") or path:find("^/v1/models")
end

function envoy_on_request(request)
  if is_openai(request:headers():get(":path") or "") then
    request:streamInfo():dynamicMetadata():set("paravec", "openai", true)
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
  if response:streamInfo():dynamicMetadata():get("paravec") then
    local body = response:body(true)
    local text = body:getBytes(0, body:length())
    local kind = string.format(
      '"type":"%s","param":null,"code":%s', types[status] or "server_error", codes[status] or "null")
    text = '{"error":' .. text:gsub('"code":%d+', kind, 1):gsub("%s*$", "") .. "}\n"
    headers:replace("content-length", tostring(body:setBytes(text)))
  end
end
