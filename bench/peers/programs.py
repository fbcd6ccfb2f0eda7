"""How the other gateways are started before the stub, and how each is asked."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from bench import cells
from bench.process import Program, free_port

START = 90.0
"""Seconds that a program has until its port answers: LiteLLM takes half a minute when its files are cold."""
_KEY = "sk-bench-peer"


class Peer(Struct, frozen=True):
    """One gateway. command: what starts it before the stub (its port, the stub's, a folder of its own), None = it is
    not installed; environment: more of it; headers: of a request to it, with the stub's port; protocols: those that it
    takes from clients."""

    name: str
    command: Callable[[int, int, Path, Path], list[str] | None]
    headers: Callable[[int], tuple[tuple[str, str], ...]]
    environment: Callable[[Path], dict[str, str]]
    protocols: tuple[str, ...]


def start(peer: Peer, installed: Path, stub: int, folder: Path) -> Program | None:
    """The running program, None where it is not installed. Raises RuntimeError when it does not start."""
    own, port = folder / peer.name, free_port()
    own.mkdir()
    command = peer.command(port, stub, own, installed)
    if command is None:
        return None
    environment = {**os.environ, **peer.environment(own)}
    log = folder / f"{peer.name}.log"
    return Program(peer.name, command, port, cells.GATEWAY_CORE, log, patience=START, environment=environment)


def _litellm(port: int, stub: int, own: Path, installed: Path) -> list[str] | None:
    program = installed / "litellm" / "bin" / "litellm"
    upstream = {"model": "openai/stub-chat", "api_base": f"http://127.0.0.1:{stub}/burst/v1", "api_key": "sk-stub"}
    config = {
        "model_list": [{"model_name": name, "litellm_params": upstream} for name in ("gpt-bench", "claude-to-openai")],
        "litellm_settings": {"use_chat_completions_url_for_anthropic_messages": True, "telemetry": False},
        "general_settings": {"master_key": _KEY},
    }
    (own / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
    options = ["--config", str(own / "config.yaml"), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    return [str(program), *options] if program.exists() else None


def _portkey(port: int, stub: int, own: Path, installed: Path) -> list[str] | None:
    return _node(installed, "@portkey-ai/gateway/build/start-server.js", f"--port={port}", "--headless")


def _router(port: int, stub: int, own: Path, installed: Path) -> list[str] | None:
    url = f"http://127.0.0.1:{stub}/burst/v1/chat/completions"
    provider = {"name": "stub", "api_base_url": url, "api_key": "sk-stub", "models": ["stub-chat"]}
    config = {"HOST": "127.0.0.1", "PORT": port, "LOG": False, "NON_INTERACTIVE_MODE": True, "Providers": [provider]}
    config["Router"] = {"default": "stub,stub-chat"}
    (own / ".claude-code-router").mkdir()
    (own / ".claude-code-router" / "config.json").write_text(json.dumps(config))
    return _node(installed, "@musistudio/claude-code-router/dist/cli.js", "start")


def _node(installed: Path, script: str, *options: str) -> list[str] | None:
    node, file = shutil.which("node"), installed / "npm" / "node_modules" / script
    return [node, str(file), *options] if node and file.exists() else None


PEERS = (
    Peer(
        "LiteLLM",
        _litellm,
        lambda _: (("authorization", f"Bearer {_KEY}"),),
        lambda _: {"LITELLM_LOCAL_MODEL_COST_MAP": "True"},
        ("openai", "anthropic"),
    ),
    Peer(
        "Portkey",
        _portkey,
        lambda stub: (
            ("authorization", "Bearer sk-stub"),
            ("x-portkey-provider", "openai"),
            ("x-portkey-custom-host", f"http://127.0.0.1:{stub}/burst/v1"),
        ),
        lambda _: {},
        ("openai",),
    ),
    Peer("claude-code-router", _router, lambda _: (), lambda own: {"HOME": str(own)}, ("anthropic",)),
)
