#!/usr/bin/env bash
# Real client programs through llmux, in front of the scripted upstream of ../shared/clients, for every upstream protocol; the
# rows marked `both` over http and https. Exits 0 only if every client did what its row wants. Skips where ../shared is absent.
# usage: run_clients.sh [row or group ...]     groups: basic codex claude loops others; without: all rows
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/e2e/stage.sh
PROTOCOLS=${PROTOCOLS:-openai anthropic responses ollama}
.venv/bin/llmux certs --dir "$STAGE/certs" > /dev/null
OWN=tests/e2e/clients

# group | row | schemes | script | environment | wanted in the client's output | wanted in what the upstream was asked
# Without the last two the script's own judgement counts: the secret that is only in a file was told, the tool took effect.
ROWS=$(grep -v '^#' <<'TABLE'
basic  | claude-code       | both | shared/claude-code | |
basic  | codex             | both | shared/codex | |
basic  | py-anthropic      | both | shared/py-anthropic | SKIP=batches |
basic  | py-openai         | both | shared/py-openai | |
basic  | py-ollama         | both | shared/py-ollama | |
basic  | js-chat           | both | shared/js-sdk | WIRE=chat |
basic  | js-anthropic      | both | shared/js-sdk | WIRE=anthropic |
basic  | js-responses      | both | shared/js-sdk | WIRE=responses |
basic  | js-ollama         | both | shared/js-sdk | WIRE=ollama |
codex  | codex-gpt-5.5     | http | shared/codex | MODEL=gpt-5.5 |
codex  | codex-patch       | http | shared/codex | MODEL=gpt-5.5 | "file_change".*"kind":"add"}],"status":"completed" |
codex  | codex-namespace   | http | shared/codex | MODEL=gpt-5 | FINAL .*agent with id .* not found |
codex  | codex-bare-name   | http | shared/codex | MODEL=gpt-5 | FINAL .*agent with id .* not found |
codex  | codex-tool-search | http | shared/codex | MODEL=gpt-5.5 | FINAL | multi_agent_v1(__|", )
claude | claude-image      | http | shared/claude-code | READIMG=1 | FINAL | iVBORw0KGgo
claude | claude-search     | http | shared/claude-code | | FINAL | "name": "NotebookEdit"
claude | claude-x-api-key  | http | shared/claude-code | AUTH=key |
claude | claude-sonnet     | http | shared/claude-code | MODEL=sonnet |
claude | claude-haiku      | http | shared/claude-code | MODEL=haiku |
claude | claude-other-name | http | shared/claude-code | MODEL=my-local-model |
claude | claude-no-betas   | http | shared/claude-code | CLAUDE_CODE_DISABLE_EXPERIMENTAL_BETAS=1 |
loops  | claude-loop       | http | shared/claude-code | |
loops  | claude-think      | http | shared/claude-code | MODEL=claude-sonnet-4-5 MAX_THINKING_TOKENS=4000 |
loops  | codex-loop        | http | shared/codex | MODEL=gpt-5 |
loops  | codex-5.5-loop    | http | shared/codex | MODEL=gpt-5.5 |
loops  | js-chat-loop      | http | shared/js-sdk | WIRE=chat |
loops  | js-anthropic-loop | http | shared/js-sdk | WIRE=anthropic |
loops  | js-responses-loop | http | shared/js-sdk | WIRE=responses |
loops  | js-ollama-loop    | http | shared/js-sdk | WIRE=ollama |
loops  | py-openai-loop    | http | shared/py-openai | |
loops  | py-ollama-loop    | http | shared/py-ollama | |
others | opencode-chat      | http | own/opencode | WIRE=chat |
others | opencode-responses | http | own/opencode | WIRE=responses |
others | opencode-anthropic | http | own/opencode | WIRE=anthropic |
others | qwen-code          | http | own/qwen-code | |
others | aider-openai       | http | own/aider | WIRE=openai |
others | aider-anthropic    | http | own/aider | WIRE=anthropic |
others | aider-ollama       | http | own/aider | WIRE=ollama_chat |
others | ai-sdk-chat        | http | own/ai-sdk | WIRE=chat |
others | ai-sdk-responses   | http | own/ai-sdk | WIRE=responses |
others | ai-sdk-anthropic   | http | own/ai-sdk | WIRE=anthropic |
others | ai-sdk-compatible  | http | own/ai-sdk | WIRE=compatible |
others | pydantic-ai-chat      | http | own/pydantic-ai | WIRE=chat |
others | pydantic-ai-responses | http | own/pydantic-ai | WIRE=responses |
others | pydantic-ai-anthropic | http | own/pydantic-ai | WIRE=anthropic MODEL=claude-opus-5-5 |
others | pydantic-ai-ollama    | http | own/pydantic-ai | WIRE=ollama |
others | langchain-chat      | http | own/langchain | WIRE=chat |
others | langchain-responses | http | own/langchain | WIRE=responses |
others | langchain-anthropic | http | own/langchain | WIRE=anthropic |
others | langchain-ollama    | http | own/langchain | WIRE=ollama |
others | llm-chat           | http | own/llm | WIRE=chat |
others | llm-anthropic      | http | own/llm | WIRE=anthropic |
TABLE
)

prompt() { # row, upstream protocol: what is asked instead of the usual; a call is written as the model of that upstream would
  local patch='*** Begin Patch\n*** Add File: WORKDIR/effect\n+hello\n*** End Patch' id=019f6a00-0000-7000-8000-000000000001
  case $1/$2 in
    codex-patch/responses) printf 'CALL[[apply_patch %b]]' "$patch" ;;
    codex-patch/*) printf 'CALL[[apply_patch {"input": "%s"}]]' "$patch" ;;
    codex-namespace/responses | codex-bare-name/*) echo "CALL[[close_agent {\"target\": \"$id\"}]]" ;;
    codex-namespace/*) echo "CALL[[multi_agent_v1__close_agent {\"target\": \"$id\"}]]" ;;
    codex-tool-search/*) echo 'CALL[[tool_search {"query": "spawn agent", "limit": 3}]]' ;;
    claude-search/*) echo 'CALL[[ToolSearch {"query": "select:WebFetch,NotebookEdit", "max_results": 3}]]' ;;
  esac
}

check() { # label, row, protocol, script, environment, wanted in the output, wanted in the upstream's requests
  if try "${@:2}" || { again "$1" && try "${@:2}"; }; then passed "$1"; else
    failed "$1"
    tail -n 30 "$STAGE/out"
  fi
}

try() { # the arguments of check behind its label
  local script=$SHARED/run/${3#shared/}.sh status=0
  [ "${3%%/*}" = own ] && script=$OWN/${3#own/}.sh
  : > "$SEEN"
  # shellcheck disable=SC2086 # words of the environment column
  env $4 PROMPT_OVERRIDE="$(prompt "$1" "$2")" SAVE_OUT="$STAGE/said" bash "$script" "$BASE" "$KEY" > "$STAGE/out" 2>&1 || status=$?
  if [ -n "$5" ]; then
    status=0
    grep -q 'client exit 0' "$STAGE/out" && grep -qE -- "$5" "$STAGE/said" || status=1
    [ -z "$6" ] || grep -qE -- "$6" "$SEEN" || status=1
  fi
  return "$status"
}

chosen() { # group, row
  [ -z "$WANTED" ] && return 0
  case " $WANTED " in *" $1 "* | *" $2 "*) return 0 ;; esac
  return 1
}

rows() { # scheme, protocol, yes for those in front of the upstream that thinks and calls more than once
  local group row schemes script environment said asked
  while IFS='|' read -r group row schemes script environment said asked; do
    group=$(echo $group) row=$(echo $row) schemes=$(echo $schemes)
    chosen "$group" "$row" || continue
    [ "$schemes" = both ] || [ "$1" = "$schemes" ] || continue
    [ "$3" = "$([ "$group" = loops ] && echo yes || echo no)" ] || continue
    [ -n "${LIST:-}" ] && { echo "$row"; continue; }
    check "$2 upstream, $1: $row" "$row" "$2" "$(echo $script)" "$environment" "$(sed 's/^ *//; s/ *$//' <<< "$said")" "$(sed 's/^ *//; s/ *$//' <<< "$asked")" < /dev/null
  done <<< "$ROWS"
}

WANTED=$*
for wanted in $WANTED; do
  cut -d'|' -f1,2 <<< "$ROWS" | tr '|' ' ' | grep -qw -- "$wanted" || { echo "no such row or group: $wanted"; exit 2; }
done
for protocol in $PROTOCOLS; do
  for scene in http/no https/no http/yes; do
    scheme=${scene%/*} loops=${scene#*/}
    [ -n "$(LIST=1 rows "$scheme" "$protocol" "$loops")" ] || continue
    options=()
    [ "$loops" = yes ] && options=(--thinking --parallel 2 --turns 4)
    start_upstream "$protocol" "${options[@]}"
    config "$protocol" "$UPSTREAM" > "$STAGE/$protocol.toml"
    start_llmux "$STAGE/$protocol.toml" "$scheme"
    export NODE_EXTRA_CA_CERTS=$STAGE/certs/ca.pem SSL_CERT_FILE=$STAGE/certs/ca.pem
    rows "$scheme" "$protocol" "$loops"
    unset NODE_EXTRA_CA_CERTS SSL_CERT_FILE
    end_llmux
  done
done
score
