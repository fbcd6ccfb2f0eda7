#!/usr/bin/env bash
# pydantic-ai through llmux. usage: pydantic-ai.sh BASE_URL KEY; WIRE=chat|responses|anthropic|ollama
LOOP=$(cd "$(dirname "$0")" && pwd)/pydantic_ai_loop.py
. "$SHARED/run/lib.sh"
VENV=$CACHE/venv-pydantic-ai
py_need "$VENV" "pydantic-ai-slim[openai,anthropic]==2.68.0"
cd "$WORK" || exit 1
timeout "${LIMIT:-60}" "$VENV/bin/python" "$LOOP" "$BASE" "$TOKEN" "${MODEL:-scripted}" "${WIRE:-chat}" "$PROMPT" > "$OUT" 2>&1
status=$?
[ $status = 0 ] || { tail -n 20 "$OUT"; exit 1; }
finish $status
