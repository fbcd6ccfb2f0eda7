"""A configuration that changes while it is served: what is taken on, what is not, and what nobody notices."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import pickle
import weakref
from pathlib import Path
from typing import cast

import pytest

from llmux.config.load import load_text
from llmux.config.overrides import Overrides
from llmux.config.schema import Config, Secret
from llmux.config.watch import look
from llmux.errors import LlmuxError
from llmux.gateway import observe
from llmux.gateway.link import Handover
from llmux.gateway.porch import Porch
from llmux.gateway.reload import Reloader
from llmux.mock.faults import Fault
from llmux.mock.provider import Provider
from tests.gateway.abuse_given import CHAT, packed
from tests.gateway.living import living

TEXT = """
[state]
kind = "memory"
[provider.o]
base_url = "{mock}/v1"
api_key = "sk-upstream-0123456789abcdef"
[[backend]]
model = "o:gpt"
context = 100000
"""
KEY = "a-client-key-of-thirty-two-characters-or-more"
OTHER = '\n[[backend]]\nmodel = "o:other"\nname = "other"\ncontext = 1000\n'


async def test_a_changed_file_is_served(tmp_path: Path) -> None:
    async with living(tmp_path, TEXT) as live:
        before = live.reloader.standing
        live.write(TEXT + OTHER)
        await live.until(lambda: live.house.names == ("o:gpt", "other"))
        assert live.reloader.standing.revision != before.revision
        assert live.reloader.standing.applied > before.applied
        assert (await live.ask("GET", "/v1/models/other")).status == 200


async def test_a_file_changed_in_place_and_within_a_tick_is_seen(tmp_path: Path) -> None:
    async with living(tmp_path, TEXT) as live:
        for number in range(8):  # the same size, the same inode, perhaps the same time
            text = live.file.read_text()
            live.file.write_text(f"max_retries = {number}\n" + text.removeprefix(f"max_retries = {number - 1}\n"))
            await live.until(lambda number=number: live.house.config.max_retries == number)


async def test_a_link_that_is_turned_elsewhere_is_followed(tmp_path: Path) -> None:
    async with living(tmp_path, TEXT) as live:  # the way Kubernetes mounts a ConfigMap
        for name, head in (("one", ""), ("two", "max_retries = 7\n")):
            (tmp_path / name).mkdir()
            (tmp_path / name / "config.toml").touch(0o600)
            (tmp_path / name / "config.toml").write_text(head + live.file.read_text())
        (tmp_path / "data").symlink_to("one")
        live.file.unlink()
        live.file.symlink_to("data/config.toml")
        (tmp_path / "new").symlink_to("two")
        os.replace(tmp_path / "new", tmp_path / "data")
        await live.until(lambda: live.house.config.max_retries == 7)


async def test_a_secret_s_file_and_the_env_beside_are_watched_too(tmp_path: Path) -> None:
    (tmp_path / "key").touch(0o600)
    (tmp_path / "key").write_text("sk-first-0123456789")
    text = TEXT.replace('"sk-upstream-0123456789abcdef"', '"file:key"') + '[tokens]\nc = "${NEW_KEY:-' + KEY + '}"\n'
    async with living(tmp_path, text) as live:
        (tmp_path / "key").write_text("sk-second-0123456789")
        await live.until(lambda: live.house.config.providers["o"].api_key.reveal() == "sk-second-0123456789")
        (tmp_path / ".env").touch(0o600)
        (tmp_path / ".env").write_text(f"NEW_KEY={KEY}2\n")
        await live.until(lambda: live.house.config.clients[0].key.reveal() == f"{KEY}2")
        assert (await live.ask("GET", "/v1/models", headers=[("x-api-key", KEY)])).status == 401
        assert (await live.ask("GET", "/v1/models", headers=[("x-api-key", f"{KEY}2")])).status == 200


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TEXT + "[[backend]\n", "config.toml:10: not valid TOML"),
        (TEXT + 'colour = "red"\n', "config.toml:10: backend.colour"),
        (TEXT + TEXT[TEXT.index("[[backend]]") :], 'there is a backend "o:gpt" already'),
        (TEXT.replace('"sk-upstream-0123456789abcdef"', '"env:LLMUX_NO_SUCH_VARIABLE"'), "LLMUX_NO_SUCH_VARIABLE"),
        (TEXT.replace('"sk-upstream-0123456789abcdef"', '"file:absent"'), "absent cannot be read"),
        (TEXT[:40], "not valid TOML"),
        ("", "there is no backend and no endpoint"),
        ("\0", "not valid TOML"),
        ('selector = "best"\n' + TEXT, 'there is no selector "best"'),
        ('host = "0.0.0.0"\n' + TEXT, "--allow-unauthenticated"),
    ],
)
async def test_a_broken_file_changes_nothing_and_is_said_once(
    tmp_path: Path, text: str, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    async with living(tmp_path, TEXT) as live:
        house = live.house
        live.write(text)
        await live.until(lambda: live.wrong)
        assert words in live.wrong
        assert live.house is house
        assert (await live.ask("POST", "/v1/chat/completions", body=packed(CHAT))).status == 200
        await live.passes()
        told = [json.loads(line) for line in capfd.readouterr().err.splitlines() if "not changed" in line]
        assert len(told) == 1
        assert words in " ".join(told[0]["faults"])
        live.write(TEXT)
        await live.until(lambda: not live.wrong)
        assert live.house is house


async def test_every_fault_is_in_the_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async with living(tmp_path, TEXT) as live:
        live.write(TEXT + 'colour = "red"\nvision = "yes"\nmax_output = -1\n')
        await live.until(lambda: live.wrong)
        [line] = [json.loads(line) for line in capfd.readouterr().err.splitlines() if "not changed" in line]
        assert [fault.partition(": ")[2].partition(":")[0] for fault in line["faults"]] == [
            "backend.colour",
            "backend.vision",
            "backend.max_output",
        ]


async def test_a_missing_file_changes_nothing_until_it_is_back(tmp_path: Path) -> None:
    async with living(tmp_path, TEXT) as live:
        live.file.unlink()
        await live.until(lambda: "cannot be read" in live.wrong)
        assert live.house.names == ("o:gpt",)
        live.write(TEXT + OTHER)
        await live.until(lambda: live.house.names == ("o:gpt", "other"))
        assert not live.wrong


async def test_a_secret_that_was_missing_mends_the_configuration_when_it_comes(tmp_path: Path) -> None:
    async with living(tmp_path, TEXT) as live:
        live.write(TEXT.replace('"sk-upstream-0123456789abcdef"', '"file:late"'))
        await live.until(lambda: "late cannot be read" in live.wrong)
        (tmp_path / "late").touch(0o600)
        (tmp_path / "late").write_text("sk-late-0123456789")
        await live.until(lambda: live.house.config.providers["o"].api_key.reveal() == "sk-late-0123456789")


async def test_a_file_that_is_half_written_is_not_complained_of(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with living(tmp_path, TEXT) as live:
        whole = live.file.read_text() + OTHER
        live.file.write_text(whole[:-40])  # ends inside a string
        await asyncio.sleep(0.03)
        live.file.write_text(whole)
        await live.until(lambda: live.house.names == ("o:gpt", "other"))
        assert "not changed" not in capfd.readouterr().err


async def test_what_was_only_touched_is_not_loaded_again(tmp_path: Path) -> None:
    async with living(tmp_path, TEXT) as live:
        before = live.house, live.reloader.standing
        live.file.touch()
        live.write(TEXT)
        await live.passes()
        assert (live.house, live.reloader.standing) == before


async def test_a_comment_is_no_other_revision(tmp_path: Path) -> None:
    async with living(tmp_path, TEXT) as live:
        before = live.reloader.standing
        live.write("# a word\n" + TEXT)
        await live.passes()
        assert live.reloader.standing == before


async def test_the_command_line_wins_over_the_new_file_too(tmp_path: Path) -> None:
    overrides = Overrides(log_level="DEBUG", client_key=Secret(KEY), port=9999)
    async with living(tmp_path, "port = 8000\n" + TEXT, overrides=overrides) as live:
        live.write('port = 8001\nlog_level = "ERROR"\n' + TEXT + OTHER)
        await live.until(lambda: "other" in live.house.names)
        assert (live.house.config.log_level, live.house.config.port) == ("DEBUG", 9999)
        assert live.reloader.standing.later == ()
        assert [client.name for client in live.house.config.clients] == ["command-line"]


async def test_what_takes_a_restart_is_named_and_the_rest_is_served(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with living(tmp_path, TEXT) as live:
        live.write("port = 8001\nworkers = 3\n" + TEXT.replace('kind = "memory"', 'path = "x.db"') + OTHER)
        await live.until(lambda: "other" in live.house.names)
        assert live.reloader.standing.later == ("port", "workers", "state")
        config = live.house.config
        assert (config.port, config.workers, config.state.kind) == (8082, 1, "memory")
        assert '"settings":["port","workers","state"]' in capfd.readouterr().err
        live.write(TEXT + OTHER)
        await live.until(lambda: live.reloader.standing.later == ())
        assert '"outcome":"unchanged"' in capfd.readouterr().err, "restart needed is not the last word"


async def test_keys_cannot_be_taken_away_under_an_open_bind(tmp_path: Path) -> None:
    async with living(tmp_path, f'host = "0.0.0.0"\n{TEXT}\n[tokens]\nc = "{KEY}"\n') as live:
        live.write(TEXT + OTHER)  # on loopback, which takes a restart, it would be right to ask for none
        await live.until(lambda: "other" in live.house.names)
        assert live.reloader.standing.later == ("host",)
        assert (await live.ask("GET", "/v1/models", host="10.0.0.1")).status == 401


async def test_settings_of_the_server_itself_change_too(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    app = "https://app.example"
    new = f'log_level = "ERROR"\nmax_body = 100\ncors_origins = ["{app}"]\n'
    new += '[timeouts]\ndrain = 3\n[log]\nformat = "text"\n'
    async with living(tmp_path, TEXT) as live:
        assert "access-control-allow-origin" not in (await live.ask("GET", "/health", headers=[("origin", app)])).names
        live.write(new + TEXT)
        await live.until(lambda: live.house.config.max_body == 100)
        assert (await live.ask("POST", "/v1/messages", body=b"{" + b" " * 200 + b"}")).status == 413
        answer = await live.ask("GET", "/health", headers=[("origin", app)])
        assert answer.headers["access-control-allow-origin"] == app
        assert live.porch.drain.grace == 3
        capfd.readouterr()
        live.write("max_body = -1\n" + TEXT)
        await live.until(lambda: live.wrong)
        assert "[error" in capfd.readouterr().err


async def test_a_request_under_way_ends_in_the_house_it_entered(tmp_path: Path) -> None:
    provider = Provider(faults=[Fault(wait=0.3)])
    async with living(tmp_path, TEXT, provider=provider) as live:
        asking = asyncio.create_task(live.ask("POST", "/v1/chat/completions", body=packed(CHAT)))
        await live.until(lambda: provider.requests)
        live.write(TEXT.replace("o:gpt", "o:other"))
        await live.until(lambda: live.house.names == ("o:other",))
        answer = await asking
        assert (answer.status, answer.headers["x-llmux-backend"]) == (200, "o:gpt")


async def test_windows_and_cooldowns_outlive_a_reload(tmp_path: Path) -> None:
    limited = TEXT + 'limits = [ { requests = 2, window = "1h" } ]\n'
    async with living(tmp_path, limited) as live:
        assert (await live.ask("POST", "/v1/chat/completions", body=packed(CHAT))).status == 200
        live.write(limited.replace("requests = 2", "requests = 3") + "max_per_day = 50\n")
        await live.until(lambda: len(live.house.backends[0].limits) == 2)
        statuses = [(await live.ask("POST", "/v1/chat/completions", body=packed(CHAT))).status for _ in range(3)]
        assert statuses == [200, 200, 429]


async def test_a_hundred_reloads_under_load_fail_nothing_and_leave_nothing(tmp_path: Path) -> None:
    async with living(tmp_path, TEXT) as live:
        houses: list[weakref.ref[object]] = []
        stop = asyncio.Event()
        statuses: list[int] = []

        async def load() -> None:
            while not stop.is_set():
                statuses.append((await live.ask("POST", "/v1/chat/completions", body=packed(CHAT))).status)

        loads = [asyncio.create_task(load()) for _ in range(4)]
        for number in range(100):
            if number % 10 == 5:
                before = live.reloader.standing.revision
                live.write(number * "x" + TEXT.replace("model", "modle", 1))
                with pytest.raises(LlmuxError):
                    await live.reloader.reload()
                assert live.reloader.standing.revision == before
            live.write(f"max_retries = {number % 50}\n" + TEXT)
            await live.reloader.reload()
            houses.append(weakref.ref(live.house))
        stop.set()
        await asyncio.gather(*loads)
        assert set(statuses) == {200}
        assert len(statuses) > 50
        gc.collect()
        assert sum(house() is not None for house in houses) == 1
        assert live.house.upstream.connections <= 5  # type: ignore[attr-defined]


async def test_old_keys_stay_masked_in_the_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async with living(tmp_path, TEXT) as live:
        live.write(TEXT.replace("sk-upstream-0123456789abcdef", "sk-second-0123456789abcdef"))
        await live.until(lambda: "second" in live.house.config.providers["o"].api_key.reveal())
        observe.log().error("words", detail="sk-upstream-0123456789abcdef sk-second-0123456789abcdef")
        told = capfd.readouterr().err
        assert "sk-u…def sk-s…def" in told or "sk-u\\u2026def" in told
        assert "0123456789" not in told


async def test_without_a_file_there_is_nothing_to_reload() -> None:
    reloader = Reloader(cast("Porch", None), Handover(config=Config(), asked=Config()))
    with pytest.raises(LlmuxError, match="without a configuration file"):
        await reloader.reload()


async def test_a_certificate_that_is_renewed_is_said_to_take_a_restart(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("c.pem", "k.pem"):
        (tmp_path / name).write_text("old")
    text = 'https_enabled = true\nssl_cert_file = "c.pem"\nssl_key_file = "k.pem"\n' + TEXT
    async with living(tmp_path, text) as live:
        await live.until(lambda: live.reloader._certified)
        (tmp_path / "c.pem").write_text("new")
        told = ""
        async with asyncio.timeout(2):
            while "ssl_cert_file" not in told:
                await asyncio.sleep(0.01)
                told += capfd.readouterr().err
        assert "restart needed" in told


def test_what_a_worker_starts_with_can_be_sent_to_it() -> None:
    config = load_text(TEXT.replace("{mock}", "http://127.0.0.1:9"))
    overrides = Overrides(client_key=Secret(KEY), protocols=("openai",))
    seen = look((Path(__file__),), None, 0.0)
    given = Handover(config=config, asked=config, overrides=overrides, seen=seen, instance=1, pid=2, salt=b"s")
    assert pickle.loads(pickle.dumps(given)) == given  # where workers are spawned, not forked
