#!/usr/bin/env bash
# llmux in front of a real model server: llama.cpp's, from a package with its binaries, in an environment of its own that is
# kept in the cache. Skips, with the reason, where that package cannot be had.
set -euo pipefail
cd "$(dirname "$0")/../.."
HOME_OF_IT=${XDG_CACHE_HOME:-$HOME/.cache}/llmux-clients/llamacpp
export LOCAL_MODEL_PYTHON=$HOME_OF_IT/bin/python
PACKAGES=(xllamacpp==2026.10.11549 gguf==0.19.0) # their wheels weigh 60 MB

if ! "$LOCAL_MODEL_PYTHON" -c 'import gguf, xllamacpp' 2> /dev/null; then
  rm -rf "$HOME_OF_IT"
  .venv/bin/python -m venv "$HOME_OF_IT"
  if ! timeout 300 "$LOCAL_MODEL_PYTHON" -m pip install -q --only-binary :all: "${PACKAGES[@]}"; then
    rm -rf "$HOME_OF_IT"
    echo "skipped: no binary package of llama.cpp's server for this machine"
    exit 0
  fi
  if ! "$LOCAL_MODEL_PYTHON" -c 'import gguf, xllamacpp'; then
    echo "skipped: llama.cpp's server does not run on this machine"
    exit 0
  fi
fi
exec .venv/bin/python -m pytest -q -m e2e tests/e2e/test_local_model.py
