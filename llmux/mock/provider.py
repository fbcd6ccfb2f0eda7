"""What happens with one request at the simulated provider: record, fault, check, answer.

Control, beside the protocols (paths are never recorded):

    GET    /__mock/requests   what came in            DELETE  forgets it
    GET    /__mock/faults     what goes wrong         POST    replaces it (see faults.read_faults)   DELETE  heals
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from ssl import SSLContext
from typing import Any
from urllib.parse import unquote

import msgspec

from llmux.mock.answer import Answer, answer
from llmux.mock.anthropic import Anthropic
from llmux.mock.ask import Ask, Refused
from llmux.mock.faults import HEALTHY, Fault, Faults, of_model, read_faults, told
from llmux.mock.ollama import Ollama
from llmux.mock.openai_chat import OpenAIChat
from llmux.mock.openai_completions import OpenAICompletions
from llmux.mock.openai_responses import OpenAIResponses
from llmux.mock.play import encode, play_before, play_body, play_stream
from llmux.mock.profiles import PROFILES
from llmux.mock.record import Recorded, Records
from llmux.mock.server import ClientLeft, Line, Request, listening
from llmux.mock.wire import Wire

WIRES: tuple[Wire, ...] = (Anthropic(), OpenAIChat(), OpenAICompletions(), OpenAIResponses(), Ollama())
DEFAULT_MODELS = ("mock-small", "mock-large")
_CREATED = 1_767_225_600
_CONTROL = "/__mock/"


class Provider:
    """A simulated provider.

    models: the only ones it knows (none named = any); key: the only one it takes (empty = any); seed: what ids are made
    from.
    """

    def __init__(
        self,
        *,
        models: Sequence[str] = (),
        key: str = "",
        seed: int = 0,
        faults: Iterable[Fault] = (),
        wires: Sequence[Wire] = WIRES,
    ) -> None:
        self.requests = Records()
        self.faults = Faults(faults)
        self._models = tuple(models)
        self._key = key
        self._seed = seed
        self._wires = wires

    async def handle(self, request: Request, line: Line) -> None:
        """Answers one request."""
        if request.path.startswith(_CONTROL):
            await self._control(request, line)
            return
        recorded = self.requests.add(request)
        try:
            await self._answer(request, recorded, line)
        except ClientLeft:
            recorded.client_left()
            raise
        finally:
            recorded.done = True

    async def _answer(self, request: Request, recorded: Recorded, line: Line) -> None:
        wire, counting = self._wire(request)
        fault = HEALTHY
        try:
            body, broken = _read(request), None
        except Refused as refused:
            body, broken = {}, refused
        try:
            fault = self._fault(wire, request, body, recorded)
            if not await play_before(line, fault):
                return
            if fault.body is not None:
                recorded.status = fault.status or 200
                await play_body(line, recorded.status, encode(fault.body), fault)
                return
            if fault.status and fault.end != "error":
                raise Refused(fault.status, fault.message or f"the simulated provider says {fault.status}", fault.about)
            self._check_key(wire, request)
            if request.method == "GET":
                recorded.status = 200
                await play_body(line, 200, encode(self._listing(request)), fault)
                return
            if broken is not None:
                raise broken
            if request.method != "POST" or request.path.endswith("/models"):
                raise Refused(405, "method not allowed")
            ask, reply = self._ask(wire, body, request, counting)
            recorded.status = 200
        except Refused as refused:
            recorded.status = refused.status
            await play_body(line, refused.status, encode(wire.error(refused)), fault)
            return
        await self._play(line, wire, ask, reply, fault, counting)

    async def _play(self, line: Line, wire: Wire, ask: Ask, reply: Answer, fault: Fault, counting: bool) -> None:
        if counting:
            await play_body(line, 200, encode(wire.count(ask.input_tokens)), fault)
            return
        if ask.stream:
            await play_stream(line, wire, wire.frames(reply, ask, fault.usage, fault.piece), fault)
        elif fault.end == "error":
            refused = Refused(fault.status or 500, fault.message or "the simulated provider failed", fault.about)
            await play_body(line, 200, encode(wire.error(refused)), fault)
        else:
            await play_body(line, 200, encode(wire.reply(reply, fault.usage)), fault)

    def _wire(self, request: Request) -> tuple[Wire, bool]:
        """The protocol of a path, and whether it counts tokens; of no protocol's path, the one the headers show."""
        path = request.path.rstrip("/")
        for wire in self._wires:
            if path.endswith(wire.counts):
                return wire, True
            if path.endswith(wire.answers):
                return wire, False
        marked = "anthropic" if "anthropic-version" in request.fields else "openai"
        return next((wire for wire in self._wires if wire.name == marked), self._wires[0]), False

    def _fault(self, wire: Wire, request: Request, body: dict[str, Any], recorded: Recorded) -> Fault:
        model = body.get("model") if isinstance(body.get("model"), str) else ""
        try:
            fault = of_model(str(model), PROFILES)
        except ValueError as error:
            raise Refused(400, str(error)) from None
        if fault is None:
            fault = self.faults.take(request.path, str(model), body.get("stream") is True, wire.key(request.fields))
        recorded.fault = {} if fault is HEALTHY else told(fault)
        return fault

    def _check_key(self, wire: Wire, request: Request) -> None:
        if self._key and wire.key(request.fields) != self._key:
            raise Refused(401, "invalid api key", "key")

    def _ask(self, wire: Wire, body: dict[str, Any], request: Request, counting: bool) -> tuple[Ask, Answer]:
        path = request.path.rstrip("/")
        if not path.endswith((*wire.answers, *wire.counts)):
            raise Refused(404, f"the simulated provider has no {path}")
        model = body.get("model")
        if not isinstance(model, str) or not model:
            raise Refused(400, "model: a model is required")
        if self._models and model.rpartition("!")[0] not in self._models and model not in self._models:
            raise Refused(404, f"model: {model}", "model")
        try:
            ask = wire.read(body, request.fields, counting=counting)
            return ask, answer(ask, request.body, self._seed)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise Refused(400, f"the request has a wrong shape: {type(error).__name__} at {error}") from None

    def _listing(self, request: Request) -> dict[str, Any]:
        """`GET /models` and `/models/{id}`, in the shape that the headers ask for."""
        _, found, wanted = request.path.partition("/models")
        if not found:
            raise Refused(404, f"the simulated provider has no {request.path}")
        models = self._models or DEFAULT_MODELS
        shape = _anthropic_model if "anthropic-version" in request.fields else _openai_model
        if name := unquote(wanted.strip("/")):
            if name not in models:
                raise Refused(404, f"model: {name}", "model")
            return shape(name)
        listed = [shape(model) for model in models]
        if shape is _openai_model:
            return {"object": "list", "data": listed}
        return {"data": listed, "has_more": False, "first_id": models[0], "last_id": models[-1]}

    async def _control(self, request: Request, line: Line) -> None:
        noun = request.path.removeprefix(_CONTROL)
        try:
            match request.method, noun:
                case "GET", "requests":
                    shown: Any = {"total": self.requests.total, "requests": [one.listing() for one in self.requests]}
                case "DELETE", "requests":
                    self.requests.clear()
                    shown = {"requests": []}
                case "POST", "faults":
                    self.faults.set(read_faults(msgspec.json.decode(request.body or b"null"), PROFILES))
                    shown = {"faults": self.faults.listing()}
                case "GET", "faults":
                    shown = {"faults": self.faults.listing(), "profiles": list(PROFILES)}
                case "DELETE", "faults":
                    self.faults.set(())
                    shown = {"faults": []}
                case _:
                    raise Refused(404, "there are /__mock/requests and /__mock/faults")
        except Refused as refused:
            await play_body(line, refused.status, encode({"error": refused.message}), HEALTHY)
        except ValueError as error:
            await play_body(line, 400, encode({"error": str(error)}), HEALTHY)
        else:
            await play_body(line, 200, encode(shown), HEALTHY)


@contextlib.asynccontextmanager
async def serving(
    provider: Provider, *, host: str = "127.0.0.1", port: int = 0, ssl: SSLContext | None = None
) -> AsyncIterator[str]:
    """Serves a provider in this event loop while the context is open; gives its base URL (openai adds `/v1`)."""
    async with listening(provider.handle, host=host, port=port, ssl=ssl) as url:
        yield url


def _read(request: Request) -> dict[str, Any]:
    if not request.body:
        return {}
    try:
        body = msgspec.json.decode(request.content)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"the body is not valid JSON: {error}") from None
    if not isinstance(body, dict):
        raise Refused(400, "the body must be a JSON object")
    return body


def _openai_model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": _CREATED, "owned_by": "mock"}


def _anthropic_model(name: str) -> dict[str, Any]:
    return {"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"}
