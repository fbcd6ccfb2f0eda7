"""Without a file: what is found on this machine, and what the commands make of it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from llmux.__main__ import main
from llmux.cli.probe import probe
from llmux.config.local import Candidate
from llmux.config.presets import PRESETS
from llmux.config.schema import Config
from tests.support import bare_machine

TAGS = {"models": [{"name": "qwen3:8b", "digest": "c"}, {"name": "nomic-embed-text:latest", "digest": "a"}]}
SHOWN = {
    "qwen3:8b": {"capabilities": ["completion", "thinking"], "model_info": {"qwen3.context_length": 40960}},
    "nomic-embed-text:latest": {"capabilities": ["embedding"], "model_info": {"bert.context_length": 2048}},
}
OLLAMA = {"/api/tags": TAGS, "/api/ps": {"models": []}}
VLLM = {
    "/v1/models": {"data": [{"id": "Qwen/Qwen3-8B", "object": "model", "owned_by": "vllm", "max_model_len": 40960}]}
}


@contextmanager
def standing(
    answers: dict[str, Any], *, delay: float = 0, heard: list[str] | None = None, **headers: str
) -> Iterator[str]:
    """A web server with these answers; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply(answers.get(self.path))

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self.reply(SHOWN.get(asked["model"]) if self.path == "/api/show" else None)

        def reply(self, answer: Any) -> None:
            time.sleep(delay)
            if heard is not None:
                heard.append(self.headers.get("authorization", ""))
            body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(404 if answer is None else 200)
            for name, value in {**headers, "content-length": str(len(body))}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def found(provider: str, url: str, deadline: float = 5, **environ: str) -> dict[str, list[str]]:
    servers = probe([Candidate(provider, url)], environ, deadline)
    return {server.provider: [model.name for model in server.models] for server in servers}


def test_ollama_is_asked_for_each_of_its_models() -> None:
    with standing(OLLAMA) as url:
        (server,) = probe([Candidate("ollama", url)], {}, 5)
    assert [(model.name, model.context, model.embeddings) for model in server.models] == [
        ("qwen3:8b", 32768, False),
        ("nomic-embed-text:latest", 2048, True),
    ]


def test_a_server_at_localhost_is_found_by_either_address() -> None:
    with standing(VLLM) as url:
        assert found("vllm", url.replace("127.0.0.1", "localhost")) == {"vllm": ["Qwen/Qwen3-8B"]}


def test_a_server_that_two_variables_name_is_one() -> None:
    with standing(OLLAMA | VLLM) as url:
        servers = probe([Candidate("ollama", url), Candidate("vllm", url)], {}, 5)
    assert [server.provider for server in servers] == ["ollama"]


@pytest.mark.parametrize("answer", [b"<html>a shop</html>", {"data": "none"}, b"[" * 100_000, b"\xff"])
def test_an_ordinary_web_server_is_passed_over(answer: Any) -> None:
    with standing(dict.fromkeys(("/v1/models", "/api/tags", "/props"), answer)) as url:
        assert found("llamacpp", url) == {}
        assert found("ollama", url) == {}


def test_another_llmux_is_no_model_server() -> None:
    with standing(OLLAMA | VLLM, x_llmux_request_id="req_1") as url:
        assert found("ollama", url) == found("vllm", url) == {}


def test_an_endless_answer_is_not_read_to_its_end() -> None:
    with standing({"/v1/models": b" " * (9 << 20)}) as url:
        assert found("vllm", url) == {}


def test_nobody_waits_longer_than_the_deadline_and_what_came_in_time_counts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, standing(VLLM) as url:
        candidates = [
            Candidate("ollama", f"http://127.0.0.1:{silent.getsockname()[1]}"),
            Candidate("lmstudio", "http://127.0.0.1:9"),
            Candidate("vllm", url),
        ]
        began = time.monotonic()
        servers = probe(candidates, {}, 0.5)
        assert time.monotonic() - began < 2
    assert [server.provider for server in servers] == ["vllm"]


def test_a_name_that_takes_long_to_look_up_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up, lookup = Event(), socket.getaddrinfo

    def slow(host: str | bytes | None, *given: Any, **named: Any) -> Any:
        if host in ("far.example", b"far.example"):
            looked_up.wait(10)
            raise socket.gaierror
        return lookup(host, *given, **named)

    monkeypatch.setattr("socket.getaddrinfo", slow)
    began = time.monotonic()
    with standing(VLLM) as url:
        servers = probe([Candidate("ollama", "http://far.example:11434"), Candidate("vllm", url)], {}, 0.5)
    looked_up.set()
    assert time.monotonic() - began < 2
    assert [server.provider for server in servers] == ["vllm"]


def test_a_key_goes_to_the_server_that_it_is_for() -> None:
    heard: list[str] = []
    with standing(VLLM, heard=heard) as url:
        found("vllm", url, VLLM_API_KEY="own")
        found("ollama", url, OLLAMA_API_KEY="cloud")
    assert set(heard) == {"Bearer own", ""}


Run = Callable[..., tuple[int, Config | None, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command on a machine with nothing but what a test puts there: exit code, configuration, what was said."""
    bare_machine(monkeypatch)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("llmux.cli.probe.DEADLINE", 5)  # a busy machine finds the same
    monkeypatch.chdir(tmp_path)
    served: list[Config] = []

    def serve(config: Config, **_: Any) -> int:
        served.append(config)
        return 0

    monkeypatch.setattr("llmux.gateway.serve.serve", serve)

    def command(*arguments: str) -> tuple[int, Config | None, str]:
        served.clear()
        code = main(list(arguments))
        said = capsys.readouterr()
        return code, served[0] if served else None, said.out + said.err

    return command


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ollama and vLLM run."""
    with ExitStack() as stack:
        for name, answers in (("ollama", OLLAMA), ("vllm", VLLM)):
            monkeypatch.setenv(PRESETS[name].url_key, stack.enter_context(standing(answers)))
        yield


def test_start_serves_what_is_found_and_says_why(run: Run, monkeypatch: pytest.MonkeyPatch, machine: None) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-canary-0123456789")
    code, config, said = run("start", "--port", "0")
    assert code == 0
    assert config is not None
    assert [backend.name for backend in config.backends] == [
        "anthropic:claude-sonnet-5-5",
        "qwen3:8b",
        "Qwen/Qwen3-8B",
        "nomic-embed-text:latest",
    ]
    assert (config.host, config.path) == ("127.0.0.1", None)
    assert " 1  anthropic:claude-sonnet-5-5" in said
    assert "key in $ANTHROPIC_API_KEY" in said
    assert "2,048 tokens, embeddings only" in said
    for words in ("claude", "codex", "OPENAI_BASE_URL=", "OLLAMA_HOST="):
        assert words in said
    assert "canary" not in said


def test_init_writes_what_start_serves(run: Run, machine: None) -> None:
    _, before, _ = run("start", "--port", "0")
    assert run("init")[0] == 0
    _, after, _ = run("start", "--port", "0")
    assert before is not None
    assert after is not None
    assert (after.path, after.backends, after.providers) == (Path("config.toml"), before.backends, before.providers)


def test_check_and_explain_tell_of_it_too(run: Run, machine: None, tmp_path: Path) -> None:
    code, _, said = run("check", "--json")
    facts = json.loads(said)
    assert (code, facts["path"]) == (0, None)
    assert facts["why"]["Qwen/Qwen3-8B"].startswith("vLLM at http://127.0.0.1:")
    assert "found: qwen3:8b: Ollama at" in run("check")[2]
    (tmp_path / "r.json").write_text('{"model": "qwen3:8b", "messages": [{"role": "user", "content": "hi"}]}')
    assert "winner    qwen3:8b" in run("explain", "r.json")[2]


@pytest.mark.parametrize("command", [["status"], ["requests"], ["backends", "list"], ["upstream", "list"]])
def test_what_was_done_without_a_file_is_told_without_one(
    run: Run, machine: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    code, _, said = run(*command)
    assert code == 0, said


def test_a_running_llmux_without_a_file_is_looked_for_at_its_port(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "9")
    assert "no llmux answers at http://127.0.0.1:9 (" in run("health")[2]
    assert "nothing answers at http://127.0.0.1:9;" in run("launch", "claude")[2]


def test_another_server_is_told_from_llmux(run: Run) -> None:
    with standing(VLLM) as url:
        assert f"{url} answers, but not as llmux does" in run("health", "--url", url)[2]


def test_a_key_in_dotenv_counts(run: Run, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("GROQ_API_KEY=k\n")
    (tmp_path / ".env").chmod(0o600)
    code, config, _ = run("start", "--port", "0")
    assert code == 0
    assert config is not None
    assert config.providers["groq"].api_key.reveal() == "k"


def test_nothing_found_tells_three_ways_on(run: Run) -> None:
    code, config, said = run("start", "--port", "0")
    assert (code, config) == (2, None)
    for words in ("Ollama at http://127.0.0.1:9", "ANTHROPIC_API_KEY", "llmux init", "start Ollama"):
        assert words in said


def test_a_key_without_a_known_model_asks_for_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", "k")
    code, _, said = run("start", "--port", "0")
    assert code == 2
    assert "$OPENROUTER_API_KEY" in said
    assert "llmux start --provider openrouter --model NAME" in said


def test_a_provider_alone_serves_its_first_model(run: Run, machine: None) -> None:
    for name, model in (("ollama", "qwen3:8b"), ("vllm", "Qwen/Qwen3-8B")):
        _, config, _ = run("start", "--port", "0", "--provider", name)
        assert config is not None
        assert [backend.model for backend in config.backends] == [model]
    _, config, _ = run("start", "--port", "0", "--provider", "gemini", "--provider-key", "k" * 20)
    assert config is not None
    assert config.backends[0].model == "gemini-3.8-flash"


def test_the_one_backend_is_asked_what_it_can_do(run: Run, machine: None) -> None:
    _, config, _ = run("start", "--port", "0", "--provider", "ollama", "--model", "nomic-embed-text")
    assert config is not None
    assert (config.backends[0].model, config.backends[0].context) == ("nomic-embed-text:latest", 2048)
    assert config.backends[0].model_match == ()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ollama", "no model server answers (Ollama at http://127.0.0.1:9)"),
        ("openrouter", "name one with --model"),
        ("opnai", "not known; did you mean openai?"),
        ("zzz", "known are openai, "),
    ],
)
def test_a_provider_alone_needs_a_model_that_is_known(run: Run, name: str, words: str) -> None:
    code, _, said = run("start", "--port", "0", "--provider", name)
    assert code == 2
    assert words in said


def test_llmux_never_asks_the_address_that_it_is_about_to_take(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with standing(OLLAMA) as url:
        monkeypatch.setenv("OLLAMA_BASE_URL", url)
        code, _, said = run("start", "--port", url.rpartition(":")[2])
    assert code == 2
    assert "nothing to serve" in said
