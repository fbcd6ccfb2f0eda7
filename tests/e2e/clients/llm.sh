#!/usr/bin/env bash
# llm through llmux: a streamed answer, and a tool loop where a tool is asked for. usage: llm.sh BASE_URL KEY; WIRE=chat|anthropic
. "$SHARED/run/lib.sh"
VENV=$CACHE/venv-llm
py_need "$VENV" llm==0.36 llm-anthropic==0.30
export LLM_USER_PATH=$HOME/llm
mkdir -p "$LLM_USER_PATH"
if [ "${WIRE:-chat}" = chat ]; then
  MODEL=llmux
  cat > "$LLM_USER_PATH/extra-openai-models.yaml" <<YAML
- model_id: llmux
  model_name: scripted
  api_base: $BASE/v1
  api_key_name: llmux
  supports_tools: true
YAML
  "$VENV/bin/llm" keys set llmux --value "$TOKEN" || exit 1
else
  MODEL=${MODEL:-claude-sonnet-4.5}
  export ANTHROPIC_BASE_URL=$BASE ANTHROPIC_API_KEY=$TOKEN
fi
cd "$WORK" || exit 1
cat > tools.py <<'PY'
import subprocess


def bash(command: str) -> str:
    """Runs a shell command and gives its output."""
    return subprocess.run(command, shell=True, capture_output=True, text=True, check=False).stdout
PY
timeout "${LIMIT:-60}" "$VENV/bin/llm" --model "$MODEL" --functions tools.py "$PROMPT" > "$OUT" 2>&1 < /dev/null
finish $?
