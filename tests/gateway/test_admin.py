"""The administrative routes: who may use them, what they answer, and what they leave in the file."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest

from llmux.access.gateway_keys import add_key
from llmux.access.overrides import read_overrides, write_override
from llmux.access.stored_accounts import StoredAccount, add_account
from llmux.access.vault import open_vault
from llmux.config.edit import edit
from llmux.config.schema import Account, Secret
from llmux.gateway.routes import TABLE
from llmux.lock import Lock
from llmux.mock.provider import Provider
from tests.gateway.abuse_given import CHAT, Answer, packed
from tests.gateway.keys_given import key, secret_of
from tests.gateway.living import Live, living

TOKEN = "an-admin-token-of-thirty-two-characters"
CLIENT = "a-client-key-of-thirty-two-characters-or-more"
NEW = "sk-brand-new-0123456789abcdef"

TEXT = """
# what this llmux serves
[admin]
token = "an-admin-token-of-thirty-two-characters"

[state]
path = "state.db"

[provider.o]
base_url = "{mock}/v1"
api_key = "sk-upstream-0123456789abcdef"   # of the team

[provider.a]
base_url = "{mock}"
protocol = "anthropic"
api_key = "env:LLMUX_TEST_KEY"

# the everyday one
[[backend]]
model = "o:gpt"
context = 100000

# for hard questions
[[backend]]
model = "a:claude"
context = 100000
[[backend]]
model = "a:haiku"
context = 100000
"""
ADMIN = [row for row in TABLE if "admin" in row.needs]
ROUTES = [(row.methods[0], row.paths[0]) for row in ADMIN]
BODY = {"provider": "o", "api_key": NEW}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMUX_TEST_KEY", "sk-environment-0123456789")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


async def ask(live: Live, path: str, body: Any = None, *, key: str = TOKEN) -> Answer:
    method = "GET" if body is None else "POST"
    headers = [("authorization", f"Bearer {key}")] if key else []
    return await live.ask(method, f"/api/{path}", body=b"" if body is None else packed(body), headers=headers)


def written(live: Live) -> dict[str, Any]:
    return tomllib.loads(live.file.read_text())


async def test_every_route_is_shut_while_no_token_is_set(tmp_path: Path) -> None:
    text = TEXT.replace(f'[admin]\ntoken = "{TOKEN}"\n', "") + f'[tokens]\nc = "{CLIENT}"\n'
    async with living(tmp_path, text) as live:
        before = live.file.read_text()
        for method, path in ROUTES:
            for key in ("", "wrong", CLIENT, TOKEN):
                headers = [("x-api-key", key)] if key else []
                answer = await live.ask(method, path, body=packed(BODY), headers=headers)
                assert answer.status == 403, (path, key)
                assert answer.json["status"] == "error"
                assert key in ("", CLIENT) or "[admin]" in answer.json["message"]
        assert live.file.read_text() == before


async def test_every_route_wants_the_admin_s_token(tmp_path: Path) -> None:
    async with living(tmp_path, f'{TEXT}\n[tokens]\nc = "{CLIENT}"\n') as live:
        before = live.file.read_text()
        for method, path in ROUTES:
            for key, status in (("", 401), ("wrong", 401), (TOKEN[:-1], 401), (CLIENT, 403)):
                answer = await live.ask(method, path, body=packed(BODY), headers=[("x-api-key", key)] if key else [])
                assert (answer.status in (status, 401), answer.json["status"]) == (True, "error"), (path, key)
                assert key == "" or key.encode() not in answer.body
        assert live.file.read_text() == before
        for method, path in ROUTES:
            assert (await live.ask(method, path, body=packed(BODY), headers=[("x-api-key", TOKEN)])).status < 500
        assert (await live.ask("GET", "/v1/models", headers=[("x-api-key", TOKEN)])).status == 401


async def test_health_is_open_and_tells_no_secret(tmp_path: Path) -> None:
    async with living(tmp_path, f'{TEXT}\n[tokens]\nc = "{CLIENT}"\n') as live:
        answer = await ask(live, "health", key="")
        assert answer.status == 200
        assert (answer.json["status"], answer.json["instance_id"]) == ("ok", 17)
        assert (answer.json["provider"], answer.json["model"], answer.json["config_error"]) == ("o", "gpt", None)
        assert answer.json["config_revision"] == live.reloader.standing.revision
        live.write(TEXT + 'sk-secret-in-a-broken-line = "x"\n')
        await live.until(lambda: live.wrong)
        told = await ask(live, "health", key="")
        assert told.json["config_error"] == ["config.toml:30"]
        assert b"sk-" not in told.body
        assert "sk-secret-in-a-broken-line" in (await ask(live, "config/current")).json["config_error"]


async def test_what_is_served_and_could_be_is_told(tmp_path: Path) -> None:
    async with living(tmp_path, TEXT) as live:
        told = (await ask(live, "info")).json
        assert (told["service"], told["current_provider"], told["current_model"]) == ("llmux", "o", "gpt")
        providers = {each["name"]: each["models"] for each in told["supported_providers"]}
        assert [model["id"] for model in providers["a"]] == ["claude", "haiku"]
        assert providers["o"][0] == {
            "id": "gpt",
            "name": "gpt",
            "description": "backend o:gpt",
            "supports_tools": True,
            "context_length": 100000,
        }
        assert next(model for model in providers["openai"] if model["id"] == "gpt-4o")["context_length"] == 128000
        assert told["api_endpoints"]["anthropic"] == {"path": "/anthropic/v1", "enabled": True, "auth_required": False}
        assert set(told["api_endpoints"]) == {"ollama", "openai", "anthropic", "responses"}
        current = (await ask(live, "config/current")).json
        assert (current["provider"], current["model"], current["supports_hot_reload"]) == ("o", "gpt", True)
        assert (current["has_api_key"], current["has_base_url"]) == (True, True)
        assert b"sk-" not in (await ask(live, "config/current")).body


async def test_a_key_that_stands_in_the_file_is_replaced_there(tmp_path: Path) -> None:
    provider = Provider()
    async with living(tmp_path, TEXT, provider=provider) as live:
        before = live.file.read_text()
        answer = await ask(live, "config/update-key", {"provider": "o", "api_key": NEW, "base_url": None})
        assert answer.json["status"] == "success"
        assert (answer.json["provider"], answer.json["restart_required"]) == ("o", False)
        assert NEW.encode() not in answer.body
        assert live.file.read_text() == before.replace("sk-upstream-0123456789abcdef", NEW)
        assert (await live.ask("POST", "/v1/chat/completions", body=packed(CHAT))).status == 200
        assert dict(provider.requests[-1].headers)["authorization"] == f"Bearer {NEW}"
        assert live.file.stat().st_mode & 0o777 == 0o600


async def test_a_reference_stays_in_the_file_and_the_new_key_wins(tmp_path: Path) -> None:
    provider = Provider()
    async with living(tmp_path, TEXT, provider=provider) as live:
        before = live.file.read_text()
        answer = await ask(live, "config/update-key", {"provider": "a", "api_key": NEW})
        assert "vault" in answer.json["message"]
        assert live.file.read_text() == before
        assert read_overrides(open_vault(live.house.config))["a"].reveal() == NEW
        for file in tmp_path.iterdir():
            assert NEW.encode() not in file.read_bytes(), file
        claude = {"model": "claude", "max_tokens": 5, "messages": [{"role": "user", "content": "hello"}]}
        assert (await live.ask("POST", "/v1/messages", body=packed(claude | {"model": "a:claude"}))).status == 200
        assert dict(provider.requests[-1].headers)["x-api-key"] == NEW


async def test_a_key_is_stored_though_nobody_may_write_the_file_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refused(Lock):
        def __enter__(self) -> None:  # type: ignore[override]
            raise OSError(errno.EROFS, "Read-only file system")

    async with living(tmp_path, TEXT) as live:
        monkeypatch.setattr("llmux.config.edit.Lock", Refused)
        assert (await ask(live, "config/update-key", {"provider": "a", "api_key": NEW})).status == 200
        assert live.house.config.providers["a"].api_key.reveal() == NEW
        answer = await ask(live, "config/update-key", BODY)
        assert (answer.status, "Read-only" in answer.json["message"]) == (409, True)


async def test_a_key_that_another_worker_has_stored_is_taken_over(tmp_path: Path) -> None:
    async with living(tmp_path, TEXT) as live:
        write_override(open_vault(live.house.config), "a", Secret(NEW))
        await live.until(lambda: live.house.config.providers["a"].api_key.reveal() == NEW)


async def test_a_gateway_key_with_admin_is_as_good_as_the_token(tmp_path: Path) -> None:
    async with living(tmp_path, TEXT.replace(f'[admin]\ntoken = "{TOKEN}"\n', "")) as live:
        vault = open_vault(live.house.config)
        add_key(vault, key("boss", permissions=("admin",)))
        add_key(vault, key("worker", permissions=("read", "write")))
        await live.until(lambda: len(live.house.issued.callers) == 2)
        assert (await ask(live, "config/update-key", BODY, key=secret_of("worker"))).status == 403
        assert (await ask(live, "config/update-key", BODY, key=secret_of("boss"))).status == 200


async def test_a_key_that_only_a_variable_holds_cannot_be_kept_without_a_vault(tmp_path: Path) -> None:
    async with living(tmp_path, TEXT.replace('path = "state.db"', 'kind = "memory"')) as live:
        answer = await ask(live, "config/update-key", {"provider": "a", "api_key": NEW})
        assert (answer.status, answer.json["status"]) == (409, "error")
        assert "memory" in answer.json["message"]


async def test_a_provider_s_backends_move_to_the_front_with_their_comments(tmp_path: Path) -> None:
    async with living(tmp_path, TEXT) as live:
        answer = await ask(live, "config/switch-provider", {"provider": "a", "model": "haiku"})
        assert (answer.json["status"], answer.json["provider"], answer.json["model"]) == ("success", "a", "haiku")
        assert live.house.names == ("a:haiku", "a:claude", "o:gpt")
        text = live.file.read_text()
        assert '# for hard questions\n[[backend]]\nmodel = "a:claude"' in text
        assert '# the everyday one\n[[backend]]\nmodel = "o:gpt"' in text
        assert "# what this llmux serves" in text
        back = await ask(live, "config/switch-provider", {"provider": "o"})
        assert back.json["model"] == "gpt"
        assert (await ask(live, "config/current")).json["provider"] == "o"


async def test_a_provider_without_a_backend_gets_one_for_the_model(tmp_path: Path) -> None:
    async with living(tmp_path, TEXT) as live:
        missing = await ask(live, "config/switch-provider", {"provider": "openai"})
        assert (missing.status, missing.json["status"]) == (409, "error")
        assert "name the model" in missing.json["message"]
        keyless = await ask(live, "config/switch-provider", {"provider": "openai", "model": "gpt-4o"})
        assert keyless.status == 409
        assert "OPENAI_API_KEY" in keyless.json["message"]
        body = {"provider": "openai", "model": "gpt-4o", "api_key": NEW}
        assert (await ask(live, "config/switch-provider", body)).json["model"] == "gpt-4o"
        assert live.house.names[0] == "openai:gpt-4o"
        assert written(live)["provider"]["openai"] == {"api_key": NEW}
        own = {"provider": "mine", "model": "x", "base_url": "http://127.0.0.1:9/v1"}
        assert (await ask(live, "config/update", own)).json["cli_args"] == {"provider": "mine", "model": "x"}
        assert written(live)["backend"][0] == {"model": "mine:x"}


async def test_an_update_applies_at_once_and_answers_as_it_used_to(tmp_path: Path) -> None:
    async with living(tmp_path, TEXT) as live:
        told = (await ask(live, "config/update", {"provider": "o", "api_key": NEW, "model": "gpt"})).json
        assert (told["status"], told["restart_required"], told["current_instance_id"]) == ("success", False, 17)
        assert told["env_vars"] == {"O_API_KEY": "sk-b…def"}
        assert live.house.config.providers["o"].api_key.reveal() == NEW


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"api_key": NEW}, "provider"),
        ({"provider": 5, "api_key": NEW}, "$.provider"),
        ({"provider": "nobody", "api_key": NEW}, "there is no provider 'nobody'"),
        ({"provider": "a:b", "api_key": NEW}, "letters, digits"),
        ({"provider": "o"}, "api_key is missing"),
        ({"provider": "o", "api_key": ""}, "api_key is missing"),
        ({"provider": "o", "api_key": "two words"}, "without blanks"),
        ({"provider": "o", "api_key": "line\nbreak"}, "without blanks"),
        ({"provider": "o", "api_key": "env:LLMUX_TEST_KEY"}, "the key itself"),
        ({"provider": "o", "api_key": "file:/etc/passwd"}, "the key itself"),
        ({"provider": "o", "api_key": NEW, "base_url": "ftp://x/v1"}, "base_url"),
        ({"provider": "o", "api_key": NEW, "base_url": "file:///etc/passwd"}, "base_url"),
    ],
)
async def test_bad_input_changes_nothing_and_names_the_field(tmp_path: Path, body: Any, words: str) -> None:
    async with living(tmp_path, TEXT) as live:
        before = live.file.read_text(), live.house
        answer = await ask(live, "config/update-key", body)
        assert 400 <= answer.status < 500
        assert answer.json["status"] == "error"
        assert words in answer.json["message"]
        assert NEW.encode() not in answer.body
        assert (live.file.read_text(), live.house) == before


async def test_a_stored_key_is_not_sent_to_another_address(tmp_path: Path) -> None:
    async with living(tmp_path, TEXT) as live:
        away = {"provider": "o", "base_url": "http://127.0.0.1:9/v1"}
        answer = await ask(live, "config/switch-provider", away)
        assert (answer.status, "give api_key as well" in answer.json["message"]) == (400, True)
        assert (await ask(live, "config/switch-provider", away | {"api_key": NEW})).status == 200
        assert written(live)["provider"]["o"]["base_url"] == "http://127.0.0.1:9/v1"


async def test_variables_are_not_filled_into_what_came_by_the_network(tmp_path: Path) -> None:
    async with living(tmp_path, TEXT) as live:
        key = "sk-${LLMUX_TEST_KEY}-0123456789"
        assert (await ask(live, "config/update-key", {"provider": "o", "api_key": key})).status == 200
        assert live.house.config.providers["o"].api_key.reveal() == key


async def test_a_key_is_tried_at_the_provider_and_kept_nowhere(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    provider = Provider(key=NEW)
    async with living(tmp_path, f"{TEXT}\n[log]\nrequest_details = true\n", provider=provider) as live:
        before = live.file.read_text()
        for path in ("config/validate-key", "config/validate"):
            told = await ask(live, path, {"provider": "o", "api_key": NEW})
            assert (told.json["status"], told.json["provider"]) == ("valid", "o")
            assert told.json["models"][0].keys() == {"id", "name", "description"}
            wrong = await ask(live, path, {"provider": "o", "api_key": "sk-wrong-0123456789abcdef"})
            assert (wrong.status, wrong.json["status"], wrong.json["models"]) == (200, "invalid", [])
        gone = await ask(live, "config/validate-key", BODY | {"base_url": "http://127.0.0.1:9/v1"})
        assert (gone.status, gone.json["status"]) == (424, "error")
        assert live.file.read_text() == before
        told_all = capfd.readouterr().err
        assert NEW not in told_all
        assert "sk-wrong" not in told_all


async def test_a_reload_that_fails_says_everything(tmp_path: Path) -> None:
    async with living(tmp_path, TEXT) as live:
        assert (await ask(live, "config/reload", {})).json["message"] == "nothing has changed"
        live.write(TEXT + "colour = 1\nvision = 2\n")
        answer = await live.ask("POST", "/api/config/reload", headers=[("x-api-key", TOKEN)])
        assert (answer.status, answer.json["status"]) == (409, "error")
        assert "colour" in answer.json["message"]
        assert "vision" in answer.json["message"]
        broken = await ask(live, "config/update-key", BODY)
        assert (broken.status, "colour" in broken.json["message"]) == (409, True)


async def test_two_changes_at_once_are_both_kept(tmp_path: Path) -> None:
    async with living(tmp_path, TEXT) as live:
        answers = await asyncio.gather(
            ask(live, "config/update-key", BODY),
            ask(live, "config/switch-provider", {"provider": "a"}),
            *(ask(live, "config/switch-provider", {"provider": f"p{n}", "model": "m", "base_url": "http://127.0.0.1:9/v1"})
              for n in range(4)),
        )  # fmt: skip
        assert {answer.status for answer in answers} == {200}
        assert written(live)["provider"]["o"]["api_key"] == NEW
        assert {backend["model"] for backend in written(live)["backend"]} >= {f"p{number}:m" for number in range(4)}
        assert len(live.house.names) == 7


async def test_unknown_paths_and_methods_are_answered_in_the_same_shape(tmp_path: Path) -> None:
    async with living(tmp_path, TEXT) as live:
        for method, path, status in (
            ("GET", "/api/config/nothing", 404),
            ("GET", "/api/config/update-key", 405),
            ("POST", "/api/info", 405),
        ):
            answer = await live.ask(method, path)
            assert (answer.status, answer.json["status"]) == (status, "error"), path
        for body in (b"{", b"", b"[]", b"null"):
            text = await live.ask("POST", "/api/config/update-key", body=body, headers=[("x-api-key", TOKEN)])
            assert (text.status, text.json["status"]) == (400, "error"), body


async def test_whoever_comes_without_the_admin_token_is_told_which_key_is_wanted(tmp_path: Path) -> None:
    async with living(tmp_path, TEXT) as live:
        for headers in ([], [("x-api-key", "wrong")]):
            answer = await live.ask("GET", "/api/info", headers=headers)
            assert (answer.status, "admin token" in answer.json["message"]) == (401, True), headers


async def test_a_foreign_page_cannot_administrate(tmp_path: Path) -> None:
    async with living(tmp_path, TEXT) as live:
        for headers in ([("origin", "https://evil.example")], [("sec-fetch-site", "cross-site")]):
            for method, path in [*ROUTES, ("GET", "/api/health")]:
                answer = await live.ask(method, path, body=packed(BODY), headers=[*headers, ("x-api-key", TOKEN)])
                assert (answer.status, answer.json["status"]) == (403, "error"), path
        assert (await live.ask("GET", "/api/info", headers=[("x-api-key", TOKEN)], host="evil.example")).status == 403
        assert json.loads((await ask(live, "health", key="")).body)["model"] == "gpt"


async def test_no_account_of_the_vault_is_sent_to_another_address(tmp_path: Path) -> None:
    kept = Account(provider="o", name="b", api_key=Secret("sk-kept-in-the-vault-0123456789"))
    async with living(tmp_path, TEXT) as live:
        add_account(open_vault(live.house.config), StoredAccount(account=kept))
        await live.until(lambda: live.house.kept.accounts)
        away = {"provider": "o", "api_key": NEW, "base_url": "http://127.0.0.1:9/v1"}
        for path in ("config/update-key", "config/switch-provider", "config/update"):
            answer = await ask(live, path, away)
            assert (answer.status, "its accounts would go to another address" in answer.json["message"]) == (400, True)
        assert written(live) == tomllib.loads(TEXT.replace("{mock}", live.url))


async def test_a_key_of_the_environment_is_not_sent_to_another_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "gsk-canary-of-the-environment")
    async with living(tmp_path, TEXT) as live:
        away = {"provider": "groq", "model": "m", "base_url": "http://127.0.0.1:9/v1"}
        answer = await ask(live, "config/switch-provider", away)
        assert (answer.status, "give api_key as well" in answer.json["message"]) == (400, True)
        assert (await ask(live, "config/switch-provider", away | {"api_key": NEW})).status == 200
        assert live.house.config.providers["groq"].api_key.reveal() == NEW


async def test_commands_and_administrators_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    def set_proxy(document: Any) -> None:
        document.setdefault("network", {})["http_proxy"] = "http://127.0.0.1:3128"

    def set_port(document: Any) -> None:
        document["max_retries"] = 7

    async with living(tmp_path, TEXT) as live:
        answers = await asyncio.gather(
            ask(live, "config/update-key", {"provider": "o", "api_key": NEW}),
            asyncio.to_thread(edit, live.file, set_proxy, os.environ),
            ask(live, "config/switch-provider", {"provider": "a", "model": "haiku"}),
            asyncio.to_thread(edit, live.file, set_port, os.environ),
            ask(live, "config/update", {"provider": "mine", "model": "x", "base_url": "http://127.0.0.1:9/v1"}),
        )
        assert [each.status for each in answers if isinstance(each, Answer)] == [200, 200, 200]
        found = written(live)
        assert found["provider"]["o"]["api_key"] == NEW
        assert (found["network"]["http_proxy"], found["max_retries"]) == ("http://127.0.0.1:3128", 7)
        assert {each["model"] for each in found["backend"]} == {"o:gpt", "a:claude", "a:haiku", "mine:x"}
        assert "# for hard questions" in live.file.read_text()
        await live.until(lambda: live.house.config.max_retries == 7 and len(live.house.names) == 4)
