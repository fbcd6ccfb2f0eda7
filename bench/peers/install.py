"""Installs the other gateways: `python -m bench.peers.install FOLDER`. What cannot be is said and left out."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

PYPI = ("litellm[proxy]==1.108.7", "uvloop")
NPM = ("@portkey-ai/gateway@1.15.2", "@musistudio/claude-code-router@2.0.0")


def install(folder: Path) -> None:
    """Everything that is not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "litellm" / "bin" / "litellm").exists():
        _run([sys.executable, "-m", "venv", str(folder / "litellm")])
        _run([str(folder / "litellm" / "bin" / "python"), "-m", "pip", "install", "-q", *PYPI])
    if shutil.which("npm") is None:
        print("npm is not installed: Portkey and claude-code-router are left out", file=sys.stderr)
    elif not (folder / "npm" / "node_modules").exists():
        (folder / "npm").mkdir(exist_ok=True)
        _run(["npm", "install", "--prefix", str(folder / "npm"), "--no-audit", "--no-fund", *NPM])


def _run(command: list[str]) -> None:
    if subprocess.run(command, check=False).returncode:
        print(f"failed: {' '.join(command)}", file=sys.stderr)


if __name__ == "__main__":
    install(Path(sys.argv[1]))
