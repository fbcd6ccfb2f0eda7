"""Which proxy leads to an address: its own, that of [network], the environment's, none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmux.config.egress import Egress, read_no_proxy
from llmux.config.faults import ConfigErrors
from llmux.config.load import load_text
from llmux.config.schema import Network
from llmux.errors import LlmuxError

CORP = "http://proxy.corp:3128"
BACKEND = '[[backend]]\nmodel = "ollama:qwen3"\ncontext = 1000\n'


def through(url: str, own: str = "", environ: dict[str, str] | None = None, **network: object) -> str:
    return Egress(Network(**network), environ or {}).proxy(url, own)  # type: ignore[arg-type]


def test_each_scheme_has_its_proxy() -> None:
    network = {"http_proxy": CORP, "https_proxy": "socks5://gate:1080"}
    assert through("http://models.test/v1", **network) == CORP
    assert through("https://models.test/v1", **network) == "socks5://gate:1080"
    assert through("https://models.test/v1", http_proxy=CORP) == ""


def test_an_own_proxy_wins_and_none_switches_off() -> None:
    assert through("https://a.test", "http://own:1", https_proxy=CORP) == "http://own:1"
    assert through("https://a.test", "none", https_proxy=CORP) == ""
    assert through("http://127.0.0.1:1", "http://own:1") == "http://own:1"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1:8080", "localhost:11434", "[::1]:1", "LOCALHOST."])
def test_this_machine_needs_no_proxy(host: str) -> None:
    assert through(f"http://{host}/", http_proxy=CORP, no_proxy="") == ""


SPARED = [
    ("example.com", "example.com", True),
    ("example.com", "api.example.com", True),
    ("example.com", "badexample.com", False),
    ("example.com", "example.com.evil.test", False),
    (".example.com", "api.example.com", True),
    (".example.com", "example.com", True),
    ("*.example.com", "api.example.com", True),
    ("EXAMPLE.com", "Api.Example.COM", True),
    ("example.com:8080", "example.com:8080", True),
    ("example.com:8080", "example.com", False),
    ("example.com:443", "example.com", True),
    ("a.test, b.test", "b.test", True),
    ("a.test b.test", "b.test", True),
    ("*", "anything.test", True),
    ("10.0.0.0/8", "10.9.8.7", True),
    ("10.0.0.0/8", "11.0.0.1", False),
    ("10.0.0.0/8", "10.example.com", False),
    ("192.168.1.7", "192.168.1.7:9", True),
    ("192.168.1.7:8", "192.168.1.7:9", False),
    ("fd00::/8", "[fd12::1]:443", True),
    ("[fd12::1]", "[fd12::1]", True),
    ("[fd12::1]:8443", "[fd12::1]:8443", True),
    ("fd12::1", "[fd12::2]", False),
    ("", "example.com", False),
]


@pytest.mark.parametrize(("entries", "host", "spared"), SPARED)
def test_no_proxy_is_read_as_curl_reads_it(entries: str, host: str, spared: bool) -> None:
    assert (through(f"https://{host}/v1", https_proxy=CORP, no_proxy=entries) == "") is spared


@given(st.text(max_size=40))
def test_no_list_makes_more_than_its_own_words_fail(text: str) -> None:
    try:
        entries = read_no_proxy(text)
    except ValueError:
        return
    assert all(entry.name or entry.network for entry in entries)


def test_an_entry_that_is_no_host_is_said_with_its_line() -> None:
    with pytest.raises(ConfigErrors, match=r"config:\d+: network.no_proxy: \"http://a\" is no host"):
        load_text(BACKEND + '[network]\nno_proxy = "http://a"\n')


ENVIRON = {"HTTPS_PROXY": "other:8080", "http_proxy": "http://low:1", "NO_PROXY": "spared.test,http://odd"}


def test_the_environment_counts_only_when_it_is_asked_for() -> None:
    assert through("https://a.test", environ=ENVIRON) == ""
    assert through("https://a.test", environ=ENVIRON, use_environment=True) == "http://other:8080"
    assert through("http://a.test", environ=ENVIRON, use_environment=True) == "http://low:1"
    assert through("https://spared.test", environ=ENVIRON, use_environment=True) == ""
    assert through("https://a.test", environ=ENVIRON, use_environment=True, https_proxy=CORP) == CORP
    assert through("https://a.test", environ={"all_proxy": "socks5://s:1"}, use_environment=True) == "socks5://s:1"


def test_a_header_of_a_cgi_request_is_no_proxy() -> None:
    environ = {"HTTP_PROXY": "http://evil:1", "REQUEST_METHOD": "GET"}
    assert through("http://a.test", environ=environ, use_environment=True) == ""


def test_a_variable_that_is_no_proxy_is_said_without_its_value() -> None:
    with pytest.raises(LlmuxError, match="environment variable https_proxy") as raised:
        Egress(Network(use_environment=True), {"https_proxy": "ftp://me:secret@x"})
    assert "secret" not in str(raised.value)


def test_a_provider_may_do_without() -> None:
    config = load_text('[provider.ollama]\nproxy = "none"\n' + BACKEND)
    assert config.providers["ollama"].proxy == "none"
