"""The one error of llmux, raised anywhere and shaped by the inbound protocol.

Where an error comes from and what becomes of it:

    LlmuxError(kind, detail, source)
      source = client     the request is wrong: bad_request, unauthorized, forbidden, not_found,
                          method_not_allowed, too_large, unsupported_media, unknown_model,
                          unsupported, context_overflow
      source = llmux      our own limits and faults: rate_limited, overloaded, internal, config
      source = upstream   a provider failed: upstream_auth, upstream_failed, upstream_timeout,
                          upstream_limited, upstream_overloaded, upstream_rejected

Before the first byte it is answered as `Protocol.write_error(error)`; after it, as `writer.write(Broken(error))`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

Source = Literal["client", "upstream", "llmux"]


class Kind(StrEnum):
    """What went wrong, in words that no protocol owns; each protocol has a table from here to its own."""

    bad_request = "bad_request"
    unauthorized = "unauthorized"
    forbidden = "forbidden"
    not_found = "not_found"
    method_not_allowed = "method_not_allowed"
    too_large = "too_large"
    unsupported_media = "unsupported_media"
    unknown_model = "unknown_model"
    unsupported = "unsupported"
    context_overflow = "context_overflow"
    rate_limited = "rate_limited"
    overloaded = "overloaded"
    internal = "internal"
    config = "config"
    upstream_auth = "upstream_auth"
    upstream_failed = "upstream_failed"
    upstream_timeout = "upstream_timeout"
    upstream_limited = "upstream_limited"
    upstream_overloaded = "upstream_overloaded"
    upstream_rejected = "upstream_rejected"


_CLIENT_KINDS = frozenset(
    {
        Kind.bad_request,
        Kind.unauthorized,
        Kind.forbidden,
        Kind.not_found,
        Kind.method_not_allowed,
        Kind.too_large,
        Kind.unsupported_media,
        Kind.unknown_model,
        Kind.unsupported,
        Kind.context_overflow,
    }
)


class LlmuxError(Exception):
    """An error with everything a protocol needs to shape it.

    kind         what went wrong
    detail       one or more plain sentences for the person who reads them: what happened and what to do next;
                 never a secret, never an upstream address
    source       who caused it; by default read off the kind
    retry_after  seconds until asking again makes sense; None = say nothing
    status       the HTTP status to answer with, where it is not the kind's own (upstream_rejected passes the
                 provider's 400, 413, 422, …)
    code, param  OpenAI's fields of the same name, where there is something to say
    tokens       context_overflow: (tokens asked for, tokens there is room for)
    spent        the attempts are used up: the client must not try again by itself (`x-should-retry: false`)
    """

    def __init__(
        self,
        kind: Kind,
        detail: str,
        source: Source | None = None,
        retry_after: float | None = None,
        *,
        status: int | None = None,
        code: str | None = None,
        param: str | None = None,
        tokens: tuple[int, int] | None = None,
        spent: bool = False,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.source: Source = source or (
            "client" if kind in _CLIENT_KINDS else "upstream" if kind.startswith("upstream") else "llmux"
        )
        self.retry_after = retry_after
        self.status = status
        self.code = code
        self.param = param
        self.tokens = tokens
        self.spent = spent

    @property
    def exit_code(self) -> int:
        """The exit code of a command that ends with it: 2 where the call or the configuration is wrong, else 1."""
        return 2 if self.kind is Kind.config or self.source == "client" else 1

    def __repr__(self) -> str:
        return f"LlmuxError({self.kind.value}, {self.detail!r}, {self.source})"


def bad_request(detail: str, param: str | None = None) -> LlmuxError:
    """A client error that names the place; `param` is the field's path, as OpenAI's errors carry it."""
    return LlmuxError(Kind.bad_request, detail, param=param)
