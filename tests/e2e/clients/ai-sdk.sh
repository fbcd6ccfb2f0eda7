#!/usr/bin/env bash
# The AI SDK through llmux. usage: ai-sdk.sh BASE_URL KEY; WIRE=chat|responses|anthropic|compatible
LOOP=$(cd "$(dirname "$0")" && pwd)/ai_sdk_loop.mjs
. "$SHARED/run/lib.sh"
node_need
npm_need aisdk ai@7.0.173 @ai-sdk/anthropic@4.0.105 @ai-sdk/openai@4.0.118 @ai-sdk/openai-compatible@3.0.92 zod@4
cd "$WORK" || exit 1
timeout "${LIMIT:-60}" node "$LOOP" "$CACHE/aisdk" "$BASE" "$TOKEN" "${MODEL:-scripted}" "${WIRE:-chat}" "$PROMPT" > "$OUT" 2>&1
status=$?
[ $status = 0 ] || { tail -n 20 "$OUT"; exit 1; }
finish $status
