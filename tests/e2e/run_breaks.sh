#!/usr/bin/env bash
# Codex and Claude Code behind llmux while the upstream breaks: before its answer and in the middle of it, once and for good.
# A break that passes must not be noticed by the user; one that stays must end in an error. Neither may ever take a cut answer for a
# whole one: a client that ends well has told the whole secret. Skips where ../shared is absent.
# usage: run_breaks.sh [upstream protocol ...]
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/e2e/stage.sh

middle() { # upstream protocol: how many events of its final answer come before the middle of the text
  case $1 in openai) echo 2 ;; anthropic) echo 4 ;; responses) echo 5 ;; ollama) echo 1 ;; esac
}

# name | how often | what the upstream does (AFTER: the middle of the final answer) | how the client must end: well, badly or either
# Claude Code asks again without a stream after a cut, which these faults let through: it may end well for good as well.
BREAKS=$(grep -v '^#' <<'TABLE'
cut            | 1    | "stream": "truncate", "after": AFTER, "only": "result" | well
error event    | 1    | "stream": "error", "after": AFTER, "only": "result"    | well
early end      | 1    | "stream": "noend", "after": AFTER, "only": "result"    | well
stall          | 1    | "stream": "stall", "after": AFTER, "secs": 4, "only": "result" | well
nothing        | 1    | "stream": "noend", "after": 0                          | well
cut at first   | 1    | "stream": "truncate", "after": 3, "only": "tools"      | well
hang-up        | 2    | "stream": "hangup"                                     | well
500            | 2    | "status": 500                                          | well
529            | 2    | "status": 529                                          | well
429            | 4    | "status": 429, "headers": {"retry-after": "1"}         | well
always cut     | 1000 | "stream": "truncate", "after": AFTER, "only": "result" | either
always error   | 1000 | "stream": "error", "after": AFTER, "only": "result"    | either
always hang-up | 1000 | "stream": "hangup", "only": "result"                   | badly
always 500     | 1000 | "status": 500, "only": "result"                        | badly
TABLE
)

set_fault() { # what the upstream does, how often
  curl -s -o /dev/null -X POST "http://127.0.0.1:$UPSTREAM/__ctl" -d "{\"faults\": [{$1, \"times\": $2}]}"
}

faults_left() { curl -s "http://127.0.0.1:$UPSTREAM/__ctl" | "$PYTHON" -c 'import json, sys; print(json.load(sys.stdin)["faults"][0]["times"])'; }

check() { # label, client, how it must end
  if try "$2" "$3" || { again "$1" && try "$2" "$3"; }; then passed "$1 ($ended)"; else
    failed "$1: it ended $ended"
    tail -n 20 "$STAGE/out"
  fi
}

try() { # client, how it must end; sets ended
  local status=0
  set_fault "$fault" "$times"
  env CLAUDE_CODE_MAX_RETRIES=3 CODEX_PROVIDER_EXTRA=$'request_max_retries = 1\nstream_max_retries = 2' SAVE_OUT="$STAGE/said" \
    bash "$SHARED/run/$1.sh" "$BASE" "$KEY" > "$STAGE/out" 2>&1 || status=$?
  ended=silent
  grep -qE '"turn.failed"|"is_error":true' "$STAGE/said" && ended=badly
  [ "$status" != 0 ] && grep -q 'client exit 0' "$STAGE/out" && ended=deceived
  [ "$status" = 0 ] && ended=well
  [ "$times" != 1000 ] && [ "$(faults_left)" != 0 ] && ended=unharmed # the fault was not met: the row says nothing
  [ "$ended" = deceived ] && { failed "a cut answer was taken for a whole one"; tail -n 20 "$STAGE/out"; }
  [ "$ended" = "$2" ] || { [ "$2" = either ] && [[ $ended =~ ^(well|badly)$ ]]; }
}

for protocol in ${*:-openai anthropic responses ollama}; do
  start_upstream "$protocol"
  { config "$protocol" "$UPSTREAM"; printf '[timeouts]\nidle = 2\n'; } > "$STAGE/$protocol.toml"
  while IFS='|' read -r name times fault end; do
    name=$(echo $name) times=$(echo $times) end=$(echo $end) fault=${fault//AFTER/$(middle "$protocol")}
    # An llmux for each break: the one before has left a cooldown.
    start_llmux "$STAGE/$protocol.toml" http
    for client in codex claude-code; do
      check "$protocol upstream, $name: $client" "$client" "$end"
    done
    end_llmux
  done <<< "$BREAKS"
done
score
