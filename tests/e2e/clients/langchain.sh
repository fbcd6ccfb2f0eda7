#!/usr/bin/env bash
# LangChain through llmux. usage: langchain.sh BASE_URL KEY; WIRE=chat|responses|anthropic|ollama
LOOP=$(cd "$(dirname "$0")" && pwd)/langchain_loop.py
. "$SHARED/run/lib.sh"
VENV=$CACHE/venv-langchain
py_need "$VENV" langchain==1.5.2 langchain-openai==1.7.4 langchain-anthropic==1.7.10 langchain-ollama==1.1.0
cd "$WORK" || exit 1
timeout "${LIMIT:-60}" "$VENV/bin/python" "$LOOP" "$BASE" "$TOKEN" "${MODEL:-scripted}" "${WIRE:-chat}" "$PROMPT" > "$OUT" 2>&1
status=$?
[ $status = 0 ] || { tail -n 20 "$OUT"; exit 1; }
finish $status
