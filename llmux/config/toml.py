"""What the file may say: the TOML view, one struct per section. `None` means "not given"; in a list of
tables it stands for one that could not be read.

The descriptions become the JSON Schema (`llmux schema`), which editors show beside the key. Defaults that depend on
something else (presets, the catalog, another section) are filled in by `providers.py` and `backends.py`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from llmux.config.schema import Secret

Count = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0)]
Level = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
SECRET = "given as it is, as env:NAME or as file:PATH (relative to this file)"


class TimeoutsView(Struct, kw_only=True, forbid_unknown_fields=True):
    """[timeouts], seconds."""

    connect: Annotated[Seconds | None, Meta(description="to connect: DNS, TCP and TLS together", examples=[5])] = None
    first_token: Annotated[
        Seconds | None, Meta(description="to the first content of a stream; the same as request_timeout", examples=[90])
    ] = None
    thinking: Annotated[
        Seconds | None, Meta(description="to the first content when the request asks for thinking", examples=[300])
    ] = None
    idle: Annotated[Seconds | None, Meta(description="between two bytes of a stream", examples=[120])] = None
    total: Annotated[Seconds | None, Meta(description="for a whole request", examples=[900])] = None
    drain: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        Meta(description="grace for open streams when the server is told to stop", examples=[30]),
    ] = None


class BackendTimeoutsView(Struct, kw_only=True, forbid_unknown_fields=True):
    """timeouts of one backend, seconds; what is not given comes from [timeouts]."""

    connect: Annotated[Seconds | None, Meta(description="to connect", examples=[5])] = None
    first_token: Annotated[Seconds | None, Meta(description="to the first content of a stream", examples=[300])] = None
    thinking: Annotated[
        Seconds | None, Meta(description="to the first content when the request asks for thinking", examples=[300])
    ] = None
    idle: Annotated[Seconds | None, Meta(description="between two bytes of a stream", examples=[120])] = None
    total: Annotated[Seconds | None, Meta(description="for a whole request", examples=[900])] = None


class LimitView(Struct, kw_only=True, forbid_unknown_fields=True):
    """One entry of limits."""

    window: Annotated[str, Meta(description="the length of the sliding window: a number and s, m, h or d")]
    requests: Annotated[Count | None, Meta(description="requests in any such window", examples=[40])] = None
    tokens: Annotated[
        Count | None, Meta(description="input and output tokens in any such window", examples=[2_000_000])
    ] = None


class ProviderView(Struct, kw_only=True, forbid_unknown_fields=True):
    """[provider.NAME]: who serves models. A known name fills base_url, protocol and the variable of its key."""

    api_key: Annotated[Secret | None, Meta(description=f"the provider's key, {SECRET}")] = None
    base_url: Annotated[
        str | None,
        Meta(description="where it is; openai and responses with the version (…/v1), anthropic and ollama the root"),
    ] = None
    protocol: Annotated[
        str | None, Meta(description="what it speaks: openai, anthropic, responses or ollama", examples=["openai"])
    ] = None
    proxy: Annotated[
        str | None,
        Meta(
            description="proxy on the way there: http://, https:// or socks5://; none: not even that of [network]",
            examples=["http://proxy:3128"],
        ),
    ] = None
    headers: Annotated[dict[str, Secret], Meta(description=f"headers added to every request; each value {SECRET}")] = (
        field(default_factory=dict)
    )
    api_version: Annotated[
        str | None, Meta(description="set: Azure deployment URLs and the api-key header", examples=["2024-10-21"])
    ] = None
    verify: Annotated[bool, Meta(description="check the provider's certificate", examples=[True])] = True


class OAuthView(Struct, kw_only=True, forbid_unknown_fields=True):
    """oauth of an account."""

    grant: Annotated[Literal["pkce", "device", "client_credentials"], Meta(description="how a token is obtained")]
    client_id: Annotated[str, Meta(description="the client id registered with the provider")]
    token_url: Annotated[str, Meta(description="where tokens are issued and refreshed")]
    authorize_url: Annotated[str, Meta(description="where the person logs in (pkce)")] = ""
    device_url: Annotated[str, Meta(description="where a device code is issued (device)")] = ""
    client_secret: Annotated[Secret | None, Meta(description=f"the client's secret, {SECRET}")] = None
    scopes: Annotated[list[str], Meta(description="scopes to ask for")] = field(default_factory=list)


class AccountView(Struct, kw_only=True, forbid_unknown_fields=True):
    """[[account]]: more credentials for a provider; the healthiest is taken."""

    provider: Annotated[str, Meta(description="the provider it belongs to")]
    name: Annotated[str, Meta(description="its name, unique within the provider")]
    api_key: Annotated[Secret | None, Meta(description=f"its key, {SECRET}")] = None
    oauth: Annotated[OAuthView | None, Meta(description="its OAuth client, instead of api_key")] = None
    limits: Annotated[list[LimitView | None], Meta(description="sliding windows of this account")] = field(
        default_factory=list
    )
    enabled: Annotated[bool, Meta(description="false: it is passed over", examples=[True])] = True


class BackendView(Struct, kw_only=True, forbid_unknown_fields=True):
    """[[backend]]: one model at one provider. The first in file order that fits a request answers it."""

    model: Annotated[str, Meta(description='"provider:model", split at the first colon')]
    name: Annotated[str | None, Meta(description="its name, unique; by default the model", examples=["gpt-4o"])] = None
    context: Annotated[
        Count | None,
        Meta(description="tokens of input and output; by default from the model catalog", examples=[128000]),
    ] = None
    max_output: Annotated[
        Count | None,
        Meta(
            description="output tokens; a larger max_tokens is lowered to it; by default from the model catalog",
            examples=[16384],
        ),
    ] = None
    vision: Annotated[bool | None, Meta(description="takes images; by default from the model catalog")] = None
    thinking: Annotated[bool | None, Meta(description="can think; by default from the model catalog")] = None
    tools: Annotated[bool, Meta(description="takes tools", examples=[True])] = True
    documents: Annotated[bool | None, Meta(description="takes PDF input; by default from the model catalog")] = None
    embeddings: Annotated[
        bool | None, Meta(description="serves embeddings; absent: tried on openai and ollama upstreams")
    ] = None
    json_schema: Annotated[bool, Meta(description="takes a JSON Schema for its answer", examples=[True])] = True
    model_match: Annotated[
        str | list[str],
        Meta(description="globs over the requested model name; none: any model", examples=[["*opus*"]]),
    ] = field(default_factory=list)
    key_rename: Annotated[
        dict[str, str], Meta(description="top-level keys (or dotted paths) of the request body to rename")
    ] = field(default_factory=dict)
    key_delete: Annotated[
        str | list[str], Meta(description="keys of the request body to remove", examples=[["top_k"]])
    ] = field(default_factory=list)
    key_add: Annotated[dict[str, Any], Meta(description="keys to add to the request body where it lacks them")] = field(
        default_factory=dict
    )
    max_per_minute: Annotated[Count | None, Meta(description="requests in any minute", examples=[60])] = None
    max_per_hour: Annotated[Count | None, Meta(description="requests in any hour", examples=[100])] = None
    max_per_5hours: Annotated[Count | None, Meta(description="requests in any five hours", examples=[400])] = None
    max_per_5h: Annotated[Count | None, Meta(description="the same as max_per_5hours", examples=[400])] = None
    max_per_day: Annotated[Count | None, Meta(description="requests in any 24 hours", examples=[1000])] = None
    limits: Annotated[list[LimitView | None], Meta(description="further sliding windows")] = field(default_factory=list)
    max_concurrent: Annotated[
        Count | None, Meta(description="requests at the same time, over all workers of the machine", examples=[8])
    ] = None
    timeouts: Annotated[BackendTimeoutsView, Meta(description="deadlines of this backend")] = field(
        default_factory=BackendTimeoutsView
    )
    group: Annotated[str, Meta(description="neighbours in one group are balanced", examples=["fast"])] = ""
    balance: Annotated[
        Literal["health", "round_robin", "latency"], Meta(description="how, within the group", examples=["health"])
    ] = "health"
    enabled: Annotated[bool, Meta(description="false: kept in the file, never used", examples=[True])] = True


class EndpointView(Struct, kw_only=True, forbid_unknown_fields=True):
    """[endpoints.NAME]: a transparent prefix; /NAME/** goes to target_base untouched."""

    target_base: Annotated[
        str | None,
        Meta(description="where it goes; by default server.target_base", examples=["https://api.anthropic.com"]),
    ] = None
    proxy_url: Annotated[
        str,
        Meta(
            description="proxy on the way there: http://, https:// or socks5://; none: not even that of [network]",
            examples=["http://proxy:3128"],
        ),
    ] = ""


class ServerView(Struct, kw_only=True, forbid_unknown_fields=True):
    """[server]: the section of a transparent proxy's configuration."""

    host: Annotated[str | None, Meta(description="the same as host at the top", examples=["127.0.0.1"])] = None
    port: Annotated[
        Annotated[int, Meta(ge=1, le=65535)] | None, Meta(description="the same as port at the top", examples=[8811])
    ] = None
    target_base: Annotated[str | None, Meta(description="target_base of endpoints that have none")] = None


class RoutingView(Struct, kw_only=True, forbid_unknown_fields=True):
    """[routing]: overrides for the choice."""

    thinking: Annotated[
        Literal["auto", "prefer", "require", "ignore"],
        Meta(description="what an optional wish for thinking counts as", examples=["auto"]),
    ] = "auto"


class AdminView(Struct, kw_only=True, forbid_unknown_fields=True):
    """[admin]: absent, every administrative route answers 403."""

    token: Annotated[Secret | None, Meta(description=f"the token of the administrative routes, {SECRET}")] = None


class NetworkView(Struct, kw_only=True, forbid_unknown_fields=True):
    """[network]: egress proxies and the names llmux may be called by."""

    http_proxy: Annotated[str, Meta(description="proxy for http:// providers", examples=["http://proxy:3128"])] = ""
    https_proxy: Annotated[str, Meta(description="proxy for https:// providers", examples=["http://proxy:3128"])] = ""
    no_proxy: Annotated[
        str,
        Meta(
            description="hosts reached without: names with all below, addresses, networks, :port, *",
            examples=["localhost,127.0.0.1,::1"],
        ),
    ] = "localhost,127.0.0.1,::1"
    use_environment: Annotated[
        bool, Meta(description="take HTTP_PROXY, HTTPS_PROXY and NO_PROXY from the environment", examples=[False])
    ] = False
    allowed_hosts: Annotated[
        list[str],
        Meta(description="names besides localhost under which llmux may be called when no client key is set"),
    ] = field(default_factory=list)


class StateView(Struct, kw_only=True, forbid_unknown_fields=True):
    """[state]: where windows and cooldowns are kept."""

    kind: Annotated[
        Literal["sqlite", "memory"], Meta(description="memory: one worker only, forgotten at exit", examples=["sqlite"])
    ] = "sqlite"
    path: Annotated[
        str, Meta(description="the SQLite file; by default one per configuration in the user's state directory")
    ] = ""
    on_failure: Annotated[
        Literal["local", "closed"],
        Meta(description="what a broken store means for limits: count in this process, or refuse", examples=["local"]),
    ] = "local"


class LogView(Struct, kw_only=True, forbid_unknown_fields=True):
    """[log]: how the program logs."""

    format: Annotated[Literal["json", "text"], Meta(description="one line each", examples=["json"])] = "json"
    request_details: Annotated[bool, Meta(description="true: bodies too, secrets still masked", examples=[False])] = (
        False
    )


class ConfigView(Struct, kw_only=True, forbid_unknown_fields=True):
    """The configuration of llmux."""

    host: Annotated[str | None, Meta(description="address to listen on", examples=["127.0.0.1"])] = None
    port: Annotated[
        Annotated[int, Meta(ge=1, le=65535)] | None, Meta(description="port to listen on", examples=[8082])
    ] = None
    log_level: Annotated[Level, Meta(description="what is logged", examples=["INFO"])] = "INFO"
    request_timeout: Annotated[
        Seconds | None,
        Meta(description="seconds to the first content; the same as timeouts.first_token", examples=[90]),
    ] = None
    max_retries: Annotated[
        Annotated[int, Meta(ge=0, le=100)],
        Meta(description="further attempts after the first, over all backends", examples=[2]),
    ] = 2
    max_body: Annotated[
        Count, Meta(description="bytes a request may have, also after decompression", examples=[33554432])
    ] = 32 * 1024 * 1024
    https_enabled: Annotated[bool, Meta(description="serve HTTPS", examples=[False])] = False
    ssl_key_file: Annotated[str, Meta(description="PEM file of the private key", examples=["certs/server.key"])] = ""
    ssl_cert_file: Annotated[str, Meta(description="PEM file of the certificate", examples=["certs/server.pem"])] = ""
    ssl_ca_file: Annotated[
        str, Meta(description="PEM file of a CA; set: client certificates are required", examples=["certs/ca.pem"])
    ] = ""
    cors_origins: Annotated[
        list[str], Meta(description="browser origins that may call", examples=[["https://chat.example"]])
    ] = field(default_factory=list)
    trusted_proxies: Annotated[
        list[str],
        Meta(description="addresses or networks whose X-Forwarded-For counts", examples=[["10.0.0.0/8"]]),
    ] = field(default_factory=list)
    workers: Annotated[Annotated[int, Meta(ge=1, le=256)], Meta(description="server processes", examples=[1])] = 1
    selector: Annotated[
        str, Meta(description="who chooses: in_order, or the name of a plugin", examples=["in_order"])
    ] = "in_order"
    server: ServerView = field(default_factory=ServerView)
    timeouts: TimeoutsView = field(default_factory=TimeoutsView)
    provider: Annotated[dict[str, ProviderView], Meta(description="providers by name")] = field(default_factory=dict)
    account: Annotated[list[AccountView | None], Meta(description="further accounts")] = field(default_factory=list)
    backend: Annotated[list[BackendView | None], Meta(description="backends, in the order of preference")] = field(
        default_factory=list
    )
    routing: RoutingView = field(default_factory=RoutingView)
    tokens: Annotated[dict[str, Secret], Meta(description=f"client name = its key, {SECRET}")] = field(
        default_factory=dict
    )
    admin: AdminView = field(default_factory=AdminView)
    endpoints: Annotated[dict[str, EndpointView], Meta(description="transparent endpoints by name")] = field(
        default_factory=dict
    )
    network: NetworkView = field(default_factory=NetworkView)
    state: StateView = field(default_factory=StateView)
    log: LogView = field(default_factory=LogView)
