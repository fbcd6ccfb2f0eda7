#!/usr/bin/env bash
# Real client programs through llmux, in front of the scripted upstream of ../shared/clients, for every upstream protocol,
# over http and https. Exits 0 only if every client finished its tool loop. Skips, with the reason, where ../shared is absent.
# usage: run_clients.sh [client ...]     clients: claude-code codex py-anthropic py-openai py-ollama js-chat js-anthropic js-responses js-ollama
set -euo pipefail
cd "$(dirname "$0")/../.."
SHARED=${SHARED:-$(cd .. && pwd)/shared/clients}
if [ ! -f "$SHARED/upstream.py" ]; then
  echo "skipped: the client checks are not beside this checkout (../shared/clients)"
  exit 0
fi
PYTHON=.venv/bin/python
WORK=$(mktemp -d)
PIDS=()
stop() {
  for pid in "${PIDS[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$WORK"
}
trap stop EXIT
KEY=client-key-for-these-runs-0123456789
PASSED=0
FAILED=0

free_port() { "$PYTHON" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

wait_for() { # url [curl options]
  for _ in $(seq 100); do
    curl -s -o /dev/null --max-time 2 "$@" && return 0
    sleep 0.1
  done
  echo "nothing answers at $1" >&2
  return 1
}

config() { # upstream protocol, its port
  local base=http://127.0.0.1:$2
  case $1 in openai | responses) base=$base/v1 ;; esac
  cat <<TOML
[provider.scripted]
protocol = "$1"
base_url = "$base"
api_key = "upstream-key-0123456789"
[[backend]]
model = "scripted:stub-model"
name = "scripted"
context = 1000000
max_output = 64000
vision = true
thinking = true
documents = true
$(embedding_backend "$1" "$2")
[tokens]
client = "$KEY"
[state]
kind = "memory"
TOML
}

embedding_backend() { # checks ask for embeddings; where the upstream has none, a neighbour offers them
  case $1 in openai | ollama) return 0 ;; esac
  cat <<TOML
[provider.neighbour]
protocol = "openai"
base_url = "http://127.0.0.1:$2/v1"
api_key = "upstream-key-0123456789"
[[backend]]
model = "neighbour:stub-embeddings"
embeddings = true
TOML
}

check() { # label, command...
  local label=$1
  shift
  if "$@" > "$WORK/out" 2>&1; then
    echo "ok    $label"
    PASSED=$((PASSED + 1))
  else
    echo "FAIL  $label"
    tail -n 30 "$WORK/out"
    FAILED=$((FAILED + 1))
  fi
}

clients() { # base url, label
  local run=$SHARED/run
  for client in ${CLIENTS}; do
    case $client in
      claude-code) check "$2 claude-code" bash "$run/claude-code.sh" "$1" "$KEY" ;;
      py-anthropic) check "$2 py-anthropic" env SKIP=batches bash "$run/py-anthropic.sh" "$1" "$KEY" ;;
      py-openai) check "$2 py-openai" bash "$run/py-openai.sh" "$1" "$KEY" ;;
      codex) check "$2 codex" bash "$run/codex.sh" "$1" "$KEY" ;;
      py-ollama) check "$2 py-ollama" bash "$run/py-ollama.sh" "$1" "$KEY" ;;
      js-responses) check "$2 js-sdk responses" env WIRE=responses bash "$run/js-sdk.sh" "$1" "$KEY" ;;
      js-ollama) check "$2 js-sdk ollama" env WIRE=ollama bash "$run/js-sdk.sh" "$1" "$KEY" ;;
      js-chat) check "$2 js-sdk chat" env WIRE=chat bash "$run/js-sdk.sh" "$1" "$KEY" ;;
      js-anthropic) check "$2 js-sdk anthropic" env WIRE=anthropic bash "$run/js-sdk.sh" "$1" "$KEY" ;;
      *) echo "unknown client $client"; exit 2 ;;
    esac
  done
}

CLIENTS=${*:-claude-code codex py-anthropic py-openai py-ollama js-chat js-anthropic js-responses js-ollama}
.venv/bin/llmux certs --dir "$WORK/certs" > /dev/null
for protocol in openai anthropic responses ollama; do
  upstream=$(free_port)
  dialect=$protocol
  [ "$protocol" = openai ] || dialect=$protocol,openai # for the embeddings
  "$PYTHON" "$SHARED/upstream.py" --port "$upstream" --dialect "$dialect" --token upstream-key-0123456789 > "$WORK/upstream.log" 2>&1 &
  PIDS+=($!)
  wait_for "http://127.0.0.1:$upstream/__ctl"
  config "$protocol" "$upstream" > "$WORK/$protocol.toml"
  for scheme in http https; do
    port=$(free_port)
    tls=()
    [ $scheme = https ] && tls=(--https --ssl-key "$WORK/certs/server.key" --ssl-cert "$WORK/certs/server.pem")
    .venv/bin/llmux start --config "$WORK/$protocol.toml" --port "$port" "${tls[@]}" > "$WORK/$protocol-$scheme.log" 2>&1 &
    gateway=$!
    PIDS+=("$gateway")
    wait_for "$scheme://localhost:$port/health" --cacert "$WORK/certs/ca.pem"
    export NODE_EXTRA_CA_CERTS=$WORK/certs/ca.pem SSL_CERT_FILE=$WORK/certs/ca.pem
    clients "$scheme://localhost:$port" "$protocol upstream, $scheme:"
    unset NODE_EXTRA_CA_CERTS SSL_CERT_FILE
    kill -TERM "$gateway"
    wait "$gateway" || { echo "FAIL  llmux did not end well after SIGTERM"; FAILED=$((FAILED + 1)); }
    if grep -q "$KEY\|upstream-key-0123456789\|Traceback" "$WORK/$protocol-$scheme.log"; then
      echo "FAIL  the log holds a secret or a traceback"
      grep -n "$KEY\|upstream-key-0123456789\|Traceback" "$WORK/$protocol-$scheme.log" | head -n 5
      FAILED=$((FAILED + 1))
    fi
  done
done
echo "$PASSED passed, $FAILED failed"
[ "$FAILED" = 0 ]
