#!/usr/bin/env bash
# qwen-code through llmux, headless. usage: qwen-code.sh BASE_URL KEY
. "$SHARED/run/lib.sh"
node_need
npm_need qwen-code @qwen-code/qwen-code@0.24.4
export OPENAI_BASE_URL=$BASE/v1 OPENAI_API_KEY=$TOKEN OPENAI_MODEL=${MODEL:-scripted}
PROMPT="Read the file READ[[$WORK/secret.txt]] and answer with the token." # its shell tool loses a short output now and then
cd "$WORK" || exit 1
timeout "${LIMIT:-90}" "$CACHE/qwen-code/node_modules/.bin/qwen" --auth-type openai --approval-mode yolo -p "$PROMPT" > "$OUT" 2>&1 < /dev/null
finish $? noeffect
