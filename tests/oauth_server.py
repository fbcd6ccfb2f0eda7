"""A real OAuth server: Authlib's, over Flask, on a port of its own.

It insists on PKCE, gives every refresh token only once, and knows all three grants. `answers` counts what it gave out.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # it is on loopback

import flask
import werkzeug.serving
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, TokenMixin, grants
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc8628 import DeviceAuthorizationEndpoint, DeviceCodeGrant, DeviceCredentialDict

DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


class Client(ClientMixin):  # type: ignore[misc]
    """`public` has no secret, `secret` has one and sends it as Basic, `posted` in the form only."""

    METHODS = {"public": "none", "secret": "client_secret_basic", "posted": "client_secret_post"}

    def __init__(self, name: str) -> None:
        self.name = name

    def get_client_id(self) -> str:
        return self.name

    def get_default_redirect_uri(self) -> str:
        return ""

    def get_allowed_scope(self, scope: str) -> str:
        return scope or ""

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri.startswith("http://127.0.0.1:")

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == "s3cret&more=%2B"

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == self.METHODS[self.name]

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return True


class Code(dict[str, Any]):
    def get_redirect_uri(self) -> str:
        return str(self["redirect_uri"])

    def get_scope(self) -> str:
        return str(self["scope"])

    def __getattr__(self, name: str) -> Any:
        return self.get(name)


class Issued(TokenMixin):  # type: ignore[misc]
    def __init__(self, client: str, **token: Any) -> None:
        self.client = client
        self.token = token
        self.revoked = False

    def check_client(self, client: Client) -> bool:
        return self.client == client.name

    def get_scope(self) -> str:
        return str(self.token.get("scope", ""))

    def get_expires_in(self) -> int:
        return int(self.token["expires_in"])

    def is_expired(self) -> bool:
        return False

    def is_revoked(self) -> bool:
        return self.revoked


class OAuthServer:
    """url: where it is; life: seconds of an access token; slow: what a token answer takes; down: every token request
    is answered 503; allowed: what the person said to a device, by user code; access: every good access token."""

    def __init__(self) -> None:
        self.url = ""
        self.life = 3600
        self.slow = 0.0
        self.down = False
        self.answers: Counter[str] = Counter()
        self.polls = 0
        self.hurried = 0
        self.allowed: dict[str, bool] = {}
        self.tokens: list[Issued] = []
        self._codes: dict[str, Code] = {}
        self._devices: dict[str, DeviceCredentialDict] = {}
        self.app = self._app()

    @property
    def access(self) -> set[str]:
        return {issued.token["access_token"] for issued in self.tokens if not issued.revoked}

    def revoke(self) -> None:
        """The person withdraws every login."""
        for issued in self.tokens:
            issued.revoked = True

    def _app(self) -> flask.Flask:
        mine = self

        class CodeGrant(grants.AuthorizationCodeGrant):  # type: ignore[misc]
            TOKEN_ENDPOINT_AUTH_METHODS = ["none", "client_secret_basic", "client_secret_post"]

            def save_authorization_code(self, code: str, request: Any) -> None:
                data = request.payload.data
                mine._codes[code] = Code(
                    redirect_uri=data["redirect_uri"],
                    scope=data.get("scope", ""),
                    code_challenge=data.get("code_challenge"),
                    code_challenge_method=data.get("code_challenge_method"),
                )

            def query_authorization_code(self, code: str, client: Client) -> Code | None:
                return mine._codes.get(code)

            def delete_authorization_code(self, authorization_code: Code) -> None:
                mine._codes.clear()

            def authenticate_user(self, authorization_code: Code) -> str:
                return "someone"

        class RefreshGrant(grants.RefreshTokenGrant):  # type: ignore[misc]
            TOKEN_ENDPOINT_AUTH_METHODS = ["none", "client_secret_basic", "client_secret_post"]
            INCLUDE_NEW_REFRESH_TOKEN = True

            def authenticate_refresh_token(self, refresh_token: str) -> Issued | None:
                live = (one for one in mine.tokens if one.token.get("refresh_token") == refresh_token)
                return next((one for one in live if not one.revoked), None)

            def authenticate_user(self, refresh_token: Issued) -> str:
                return "someone"

            def revoke_old_credential(self, refresh_token: Issued) -> None:
                refresh_token.revoked = True

        class Credentials(grants.ClientCredentialsGrant):  # type: ignore[misc]
            TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post"]

        class DeviceGrant(DeviceCodeGrant):  # type: ignore[misc]
            def query_device_credential(self, device_code: str) -> DeviceCredentialDict | None:
                mine.polls += 1
                return mine._devices.get(device_code)

            def query_user_grant(self, user_code: str) -> tuple[str, bool] | None:
                return ("someone", mine.allowed[user_code]) if user_code in mine.allowed else None

            def should_slow_down(self, credential: DeviceCredentialDict) -> bool:
                mine.hurried -= 1
                return mine.hurried >= 0

        class DeviceEndpoint(DeviceAuthorizationEndpoint):  # type: ignore[misc]
            INTERVAL = 1

            def get_verification_uri(self) -> str:
                return f"{mine.url}/device"

            def save_device_credential(self, client_id: str, scope: str, data: dict[str, Any]) -> None:
                until = time.time() + data["expires_in"]
                mine._devices[data["device_code"]] = DeviceCredentialDict(
                    client_id=client_id, scope=scope, expires_at=until, **data
                )

        app = flask.Flask(__name__)
        app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True

        def save(token: dict[str, Any], request: Any) -> None:
            token["expires_in"] = mine.life
            mine.tokens.append(Issued(request.client.name, **token))
            mine.answers[request.payload.grant_type] += 1

        server = AuthorizationServer(app, lambda name: Client(name) if name in Client.METHODS else None, save)
        server.register_grant(CodeGrant, [CodeChallenge(required=True)])
        for grant in (RefreshGrant, Credentials, DeviceGrant):
            server.register_grant(grant)
        server.register_endpoint(DeviceEndpoint)

        @app.get("/authorize")
        def authorize() -> Any:
            grant = server.get_consent_grant(end_user="someone")
            return server.create_authorization_response(
                grant_user=None if "deny" in flask.request.args else "someone", grant=grant
            )

        @app.post("/token")
        def token() -> Any:
            if mine.down:
                return "down for a moment", 503
            time.sleep(mine.slow)
            return server.create_token_response()

        @app.post("/device_authorization")
        def device() -> Any:
            return server.create_endpoint_response(DeviceEndpoint.ENDPOINT_NAME)

        return app


@contextlib.contextmanager
def oauth_server() -> Iterator[OAuthServer]:
    """An OAuth server while it is open."""
    mine = OAuthServer()
    server = werkzeug.serving.make_server("127.0.0.1", 0, mine.app, threaded=True, request_handler=_Quiet)
    mine.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield mine
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Quiet(werkzeug.serving.WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        """Nothing to say."""
