"""Where a backend's requests go: address, credential and headers of its provider."""

from __future__ import annotations

from urllib.parse import quote

from llmux._version import __version__
from llmux.config.schema import Provider
from llmux.gateway.upstream import UpstreamRequest
from llmux.protocols.base import Headers, Protocol
from llmux.routing.backend import Backend

AGENT = f"llmux/{__version__}"


class Target:
    """How to reach one backend. Made once per configuration; the client's credential never comes near it.
    proxy: the egress proxy on the way there, empty for none."""

    def __init__(self, backend: Backend, provider: Provider, protocol: Protocol, proxy: str) -> None:
        self.backend = backend
        self.protocol = protocol
        self._provider = provider
        self._proxy = proxy
        secret = provider.api_key.reveal()
        self._fixed: dict[str, str] = {"content-type": "application/json", "accept-encoding": "identity"}
        if secret:
            name, value = ("api-key", secret) if provider.api_version else protocol.credential(secret)
            self._fixed[name.lower()] = value
        self._fixed |= {name.lower(): value for name, value in provider.headers.items()}
        self._urls: dict[str, str] = {}

    def request(
        self, body: bytes, client: Headers, *, stream: bool, inbound: Protocol, bearer: str = ""
    ) -> UpstreamRequest:
        """A body on its way to this backend; of the client's headers only the allow-listed ones travel. bearer: the
        access token of an account that has one."""
        same = inbound.name == self.protocol.name
        spoken = inbound if same else self.protocol
        headers: dict[str, str] = {
            "accept": spoken.media_type if stream else "application/json",
            "user-agent": AGENT,
        }
        headers |= dict(spoken.headers(client, same=same))
        headers |= self._fixed
        if bearer:
            headers["authorization"] = f"Bearer {bearer}"
        return UpstreamRequest(
            url=self._url(spoken.path(stream=stream)),
            headers=list(headers.items()),
            body=body,
            stream=stream,
            proxy=self._proxy,
            connect=self.backend.timeouts.connect,
            verify=self._provider.verify,
        )

    def _url(self, path: str) -> str:
        """The address for a path of the protocol; each is put together once."""
        found = self._urls.get(path)
        if found is None:
            found = self._urls[path] = self._joined(path)
        return found

    def _joined(self, path: str) -> str:
        base = self._provider.base_url.rstrip("/")
        if self._provider.api_version:
            deployment = quote(self.backend.model, safe="")
            version = quote(self._provider.api_version, safe="")
            return f"{base}/openai/deployments/{deployment}{path}?api-version={version}"
        return base + path
