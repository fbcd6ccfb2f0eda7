# What the checks with real client programs stand on: the scripted upstream of ../shared/clients, llmux in front of it, a score.
# Sourced; the caller is in the root of the checkout. Ends it, with the reason, where ../shared is absent.
SHARED=${SHARED:-$(cd .. && pwd)/shared/clients}
if [ ! -f "$SHARED/upstream.py" ]; then
  echo "skipped: the client checks are not beside this checkout (../shared/clients)"
  exit 0
fi
export SHARED
PYTHON=.venv/bin/python
umask 077
STAGE=$(mktemp -d)
PIDS=()
KEY=client-key-for-these-runs-0123456789
PROVIDER_KEY=upstream-key-0123456789
PASSED=0
FAILED=0

stop() {
  for pid in "${PIDS[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$STAGE"
}
trap stop EXIT

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
api_key = "$PROVIDER_KEY"
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
api_key = "$PROVIDER_KEY"
[[backend]]
model = "neighbour:stub-embeddings"
embeddings = true
TOML
}

start_upstream() { # protocol, options of upstream.py; sets UPSTREAM (its port) and SEEN (what it was asked)
  local dialect=$1
  [ "$1" = openai ] || dialect=$1,openai # for the embeddings
  UPSTREAM=$(free_port)
  SEEN=$STAGE/seen-$UPSTREAM.jsonl
  "$PYTHON" "$SHARED/upstream.py" --port "$UPSTREAM" --dialect "$dialect" --token "$PROVIDER_KEY" --log "$SEEN" "${@:2}" > "$STAGE/upstream.log" 2>&1 &
  PIDS+=($!)
  wait_for "http://127.0.0.1:$UPSTREAM/__ctl"
}

start_llmux() { # config file, scheme; sets BASE and LOG
  local port tls=()
  port=$(free_port)
  [ "$2" = https ] && tls=(--https --ssl-key "$STAGE/certs/server.key" --ssl-cert "$STAGE/certs/server.pem")
  BASE=$2://localhost:$port
  LOG=$STAGE/llmux-$port.log
  .venv/bin/llmux start --config "$1" --port "$port" "${tls[@]}" > "$LOG" 2>&1 &
  GATEWAY=$!
  PIDS+=("$GATEWAY")
  wait_for "$BASE/health" --cacert "$STAGE/certs/ca.pem"
}

end_llmux() { # llmux ends well, and its log holds no secret and no traceback
  kill -TERM "$GATEWAY"
  wait "$GATEWAY" || failed "llmux did not end well after SIGTERM"
  if grep -q "$KEY\|$PROVIDER_KEY\|Traceback" "$LOG"; then
    failed "the log holds a secret or a traceback"
    grep -n "$KEY\|$PROVIDER_KEY\|Traceback" "$LOG" | head -n 5
  fi
}

passed() { echo "ok    $1"; PASSED=$((PASSED + 1)); }
failed() { echo "FAIL  $1"; FAILED=$((FAILED + 1)); }
again() { echo "again $1: it failed once, and some programs lose races of their own"; }
score() { echo "$PASSED passed, $FAILED failed"; [ "$FAILED" = 0 ]; }
