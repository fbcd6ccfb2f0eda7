"""A text completion as the chat that asks the same: its prompt is what a user says."""

from __future__ import annotations

from llmux.errors import Kind, LlmuxError
from llmux.protocols.base import Body, raw
from llmux.protocols.openai_chat import wire
from llmux.protocols.openai_chat.inputs import read_inputs


def as_chat(body: Body) -> Body:
    """The chat request. Raises LlmuxError(unsupported) that names what only a model of text completions can do, and
    LlmuxError(bad_request) for a wrong shape."""
    refuse(body, *_IDLE)
    text = only_text(body)
    if not text.strip():
        raise _unsupported("prompt", "it is empty, and a chat model answers nothing to nothing")
    kept = {key: value for key, value in body.items() if key not in _OWN}
    return {**kept, "messages": raw([{"role": "user", "content": text}])}


def only_text(body: Body) -> str:
    """The prompt where it is one text. Raises LlmuxError(unsupported) for several and for token numbers."""
    inputs = read_inputs(body, "prompt")
    if inputs.numbers:
        raise _unsupported("prompt", "token numbers belong to one model's tokenizer; send the text")
    if len(inputs.texts) != 1:
        raise _unsupported("prompt", "this backend takes one prompt a request; send each on its own")
    return inputs.texts[0]


def refuse(body: Body, *keys: str) -> None:
    """Raises LlmuxError(unsupported) for the first of these keys that asks for something."""
    for key in keys:
        if asks(body, key):
            raise _unsupported(key, _WHY[key])


def asks(body: Body, *keys: str) -> bool:
    """Whether any of these keys asks for something."""
    values = ((key, wire.present(body, key)) for key in keys)
    return any(value is not None and bytes(value) not in _IDLE[key] for key, value in values)


def _unsupported(key: str, why: str) -> LlmuxError:
    return LlmuxError(Kind.unsupported, f"{key}: {why}", param=key)


_WHY = {
    "suffix": "this backend is asked by chat; only a model that fills in the middle takes it",
    "echo": "this backend does not repeat the prompt",
    "best_of": "more than one choice cannot be asked of this backend",
    "n": "more than one choice cannot be asked of this backend",
    "logprobs": "this backend gives no log probabilities",
}
_IDLE: dict[str, tuple[bytes, ...]] = {
    "suffix": (b'""',),
    "echo": (b"false",),
    "best_of": (b"1", b"0"),
    "n": (b"1",),
    "logprobs": (b"false",),
}
"""Values that ask for nothing."""

_OWN = frozenset({"prompt", *_IDLE})
