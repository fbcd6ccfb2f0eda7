#!/usr/bin/env bash
# Real client programs by `llmux launch` and by `llmux setup`, in front of the scripted upstream of ../shared/clients. Each
# finishes its tool loop both ways, and `setup --undo` leaves its settings as they were.
# Exits 0 only if all of that is so. Skips, with the reason, where ../shared is absent.
# usage: run_launch.sh [program ...]     programs: claude-code codex-cli opencode qwen-code
set -euo pipefail
cd "$(dirname "$0")/../.."
ROOT=$PWD
SHARED=${SHARED:-$(cd .. && pwd)/shared/clients}
if [ ! -f "$SHARED/upstream.py" ]; then
  echo "skipped: the client checks are not beside this checkout (../shared/clients)"
  exit 0
fi
STAGE=$(mktemp -d)
PIDS=()
stop() {
  for pid in "${PIDS[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$STAGE"
}
trap stop EXIT
KEY=client-key-for-these-runs-0123456789

free_port() { "$ROOT/.venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

wait_for() { # url
  for _ in $(seq 200); do
    curl -s -o /dev/null --max-time 2 "$1" && return 0
    sleep 0.1
  done
  echo "nothing answers at $1" >&2
  return 1
}

settings() { # program: its settings file and what a user may have in it
  case $1 in
    claude-code) echo '.claude/settings.json|{\n  "env": {"FOO": "1"}\n}' ;;
    codex-cli) echo '.codex/config.toml|# mine\ncheck_for_update_on_startup = false # no\n' ;;
    opencode) echo '.config/opencode/opencode.jsonc|{ // mine\n  "$schema": "https://opencode.ai/config.json",\n  "autoupdate": false,\n}\n' ;;
    qwen-code) echo '.qwen/settings.json|{"ui": {"hideTips": true}, "$version": 4}' ;;
  esac
}

loop() { # program, command...: it ran, the effect is there, and the secret that is only in the file was told
  local name=$1
  shift
  rm -f "$EFFECT"
  local ask=(-p "$PROMPT" --allowedTools "Bash,Read")
  case $name in
    codex-cli) ask=(exec --skip-git-repo-check --dangerously-bypass-approvals-and-sandbox "$PROMPT") ;;
    opencode) ask=(run "$PROMPT") ;;
    qwen-code) ask=(-y -p "$PROMPT") ;;
  esac
  timeout 120 "$@" "${ask[@]}" > "$OUT" 2>&1 < /dev/null || true
  grep -q "FINAL $SECRET" "$OUT" && [ -e "$EFFECT" ] && return 0
  tail -n 20 "$OUT"
  return 1
}

try() { # program; in a shell of its own, with a home of its own
  local name=$1 package=$2 command=$3
  . "$SHARED/run/lib.sh" "http://127.0.0.1:$PORT" "$KEY" # HOME, PROMPT, SECRET, EFFECT, OUT, WORK
  set -e
  node_need
  npm_need "$4" "$package"
  export PATH=$CACHE/$4/node_modules/.bin:$PATH LLMUX_CONFIG=$STAGE/config.toml
  export DISABLE_AUTOUPDATER=1 CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 DISABLE_TELEMETRY=1
  cd "$WORK"
  local llmux=$ROOT/.venv/bin/llmux line file
  loop "$name" "$llmux" launch --model gpt-5 "$name" || return 1
  echo "ok    $name launched"
  line=$(settings "$name")
  file=$HOME/${line%%|*}
  mkdir -p "$(dirname "$file")"
  printf "${line#*|}" > "$file"
  cp "$file" "$WORK/before"
  "$llmux" setup --model gpt-5 "$name" > /dev/null
  LLMUX_API_KEY=$KEY loop "$name" "$command" || return 1
  "$llmux" setup "$name" --undo > /dev/null
  # A program that writes its settings anew while it runs may have moved blanks; every other character is as it was.
  [ "$(tr -d '[:space:]' < "$file")" = "$(tr -d '[:space:]' < "$WORK/before")" ] || { diff "$WORK/before" "$file"; return 1; }
  echo "ok    $name set up and back"
}

UPSTREAM=$(free_port)
PORT=$(free_port)
"$ROOT/.venv/bin/python" "$SHARED/upstream.py" --port "$UPSTREAM" > "$STAGE/upstream.log" 2>&1 &
PIDS+=($!)
(
  umask 077
  cat > "$STAGE/config.toml" <<TOML
port = $PORT
[provider.scripted]
base_url = "http://127.0.0.1:$UPSTREAM/v1"
api_key = "upstream-key-0123456789"
[[backend]]
model = "scripted:stub-model"
name = "scripted"
context = 1000000
vision = true
thinking = true
[tokens]
client = "$KEY"
[state]
kind = "memory"
TOML
)
.venv/bin/llmux start --config "$STAGE/config.toml" > "$STAGE/llmux.log" 2>&1 &
PIDS+=($!)
wait_for "http://127.0.0.1:$UPSTREAM/__ctl"
wait_for "http://127.0.0.1:$PORT/health"

FAILED=0
for name in ${*:-claude-code codex-cli opencode qwen-code}; do
  case $name in
    claude-code) row=(@anthropic-ai/claude-code claude claude-code) ;;
    codex-cli) row=(@openai/codex codex codex) ;;
    opencode) row=(opencode-ai opencode opencode) ;;
    qwen-code) row=(@qwen-code/qwen-code qwen qwen-code) ;;
    *) echo "unknown program $name" && exit 2 ;;
  esac
  # Once more, because some programs lose races of their own.
  (try "$name" "${row[@]}") || (try "$name" "${row[@]}") || { echo "FAIL  $name" && FAILED=1; }
done
exit $FAILED
