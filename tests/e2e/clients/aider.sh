#!/usr/bin/env bash
# aider through llmux: one streamed answer (it has no tools). usage: aider.sh BASE_URL KEY; WIRE=openai|anthropic|ollama_chat
. "$SHARED/run/lib.sh"
VENV=$CACHE/venv-aider
py_need "$VENV" aider-chat==0.86.2
case ${WIRE:-openai} in
  openai) export OPENAI_API_BASE=$BASE/v1 OPENAI_API_KEY=$TOKEN ;;
  anthropic) export ANTHROPIC_API_BASE=$BASE ANTHROPIC_API_KEY=$TOKEN ;;
  ollama_chat) export OLLAMA_API_BASE=$BASE OLLAMA_API_KEY=$TOKEN ;;
esac
export LITELLM_LOCAL_MODEL_COST_MAP=True
cd "$WORK" || exit 1
timeout "${LIMIT:-90}" "$VENV/bin/aider" --model "${WIRE:-openai}/${MODEL:-scripted}" --no-git --yes-always --no-check-update --no-show-model-warnings \
  --analytics-disable --no-gitignore --no-pretty --message "Say hello." > "$OUT" 2>&1 < /dev/null
status=$?
grep -q PLAIN-OK "$OUT" && [ $status = 0 ] && { echo "PASS (client exit 0)"; exit 0; }
tail -n 20 "$OUT"
exit 1
