#!/usr/bin/env bash
# opencode through llmux, headless. usage: opencode.sh BASE_URL KEY; WIRE=chat|responses|anthropic
. "$SHARED/run/lib.sh"
node_need
npm_need opencode opencode-ai@1.18.33
declare -A PACKAGE=([chat]=@ai-sdk/openai-compatible [responses]=@ai-sdk/openai [anthropic]=@ai-sdk/anthropic)
cat > "$WORK/opencode.json" <<JSON
{
  "\$schema": "https://opencode.ai/config.json",
  "autoupdate": false,
  "share": "disabled",
  "permission": {"bash": "allow", "read": "allow"},
  "provider": {
    "llmux": {
      "npm": "${PACKAGE[${WIRE:-chat}]}",
      "name": "llmux",
      "options": {"baseURL": "$BASE/v1", "apiKey": "$TOKEN"},
      "models": {"${MODEL:-scripted}": {"name": "llmux", "limit": {"context": 200000, "output": 32000}}}
    }
  }
}
JSON
cd "$WORK" || exit 1
export OPENCODE_DISABLE_AUTOUPDATE=1 OPENCODE_DISABLE_MODELS_FETCH=1 OPENCODE_DISABLE_LSP_DOWNLOAD=1 OPENCODE_DISABLE_DEFAULT_PLUGINS=1
timeout "${LIMIT:-90}" "$CACHE/opencode/node_modules/.bin/opencode" run --model "llmux/${MODEL:-scripted}" "$PROMPT" > "$OUT" 2>&1 < /dev/null
finish $?
