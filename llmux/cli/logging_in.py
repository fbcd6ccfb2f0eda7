"""The logins of a configuration's OAuth accounts, for a command: the same tokens, kept in the same vault, as a server
uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmux.access.logins import Logins
    from llmux.access.oauth import Post, Tokens
    from llmux.config.schema import Account, Config
    from llmux.gateway.upstream import Upstream


class LoggingIn:
    """What a command does with the logins: get a token, get a new one, keep those of a new login."""

    def __init__(self, config: Config, upstream: Upstream, logins: Logins) -> None:
        self._config = config
        self._upstream = upstream
        self._logins = logins

    def post(self, account: Account) -> Post:
        """The way to an account's OAuth server."""
        from llmux.config.egress import Egress
        from llmux.gateway.token_post import post_through

        assert account.oauth is not None, "only accounts with OAuth have one"
        provider = self._config.providers[account.provider]
        proxy = Egress.of(self._config).proxy(account.oauth.token_url, provider.proxy)
        return post_through(self._upstream, proxy, verify=provider.verify)

    async def token(self, account: Account) -> str:
        """A good access token. Raises LlmuxError."""
        return await self._logins.token(account, self.post(account))

    async def renew(self, account: Account) -> Tokens:
        """New tokens now. Raises LlmuxError."""
        return await self._logins.renew(account, self.post(account))

    async def keep(self, account: Account, tokens: Tokens) -> None:
        """Takes the tokens of a new login. Raises LlmuxError(config) where nothing is kept."""
        await self._logins.keep(account, tokens)


def logging_in(config: Config, upstream: Upstream) -> LoggingIn:
    """The logins of a configuration."""
    from llmux.access.logins import Logins
    from llmux.access.vault import find_vault

    return LoggingIn(config, upstream, Logins(find_vault(config)))
