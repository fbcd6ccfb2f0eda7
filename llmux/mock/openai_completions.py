"""The simulated provider answering OpenAI's text completions: one prompt, one choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from llmux.mock.answer import Answer, pieces
from llmux.mock.ask import Ask, Refused, size_of
from llmux.mock.openai_chat import CREATED, STOPS, OpenAIChat, write_usage
from llmux.mock.wire import Frame, Usage

_ENCODER = msgspec.json.Encoder()


class OpenAICompletions(OpenAIChat):
    """`POST /v1/completions`; key, pings and errors are those of chat."""

    answers: tuple[str, ...] = ("/completions",)
    malformed = b'data: {"id":"cmpl-mock","choices":[{"index":0,"text":"ha\n\n'

    def read(self, body: dict[str, Any], headers: Mapping[str, str], *, counting: bool) -> Ask:
        """What a text completion asks for."""
        prompt = body.get("prompt")
        said = prompt[0] if isinstance(prompt, list) and len(prompt) == 1 else prompt
        if not isinstance(said, str):
            raise Refused(400, "prompt: the simulated provider takes one text")
        if body.get("n", 1) != 1 or body.get("best_of", 1) != 1:
            raise Refused(400, "n: the simulated provider gives one choice")
        stop = body.get("stop") or ()
        limit = body.get("max_tokens")
        if limit is not None and not isinstance(limit, int):
            raise Refused(400, "Invalid type for 'max_tokens': expected an integer.")
        return Ask(
            model=body["model"],
            stream=body.get("stream") is True,
            messages=1,
            said=said,
            max_tokens=limit,
            stops=(stop,) if isinstance(stop, str) else tuple(stop),
            text_bytes=size_of(said),
            usage_wanted=bool((body.get("stream_options") or {}).get("include_usage")),
        )

    def reply(self, answer: Answer, usage: Usage) -> dict[str, Any]:
        """A text_completion."""
        whole = {**_head(answer), "choices": [_choice(answer.text, STOPS[answer.stop])]}
        return whole if usage == "none" else {**whole, "usage": write_usage(answer, usage)}

    def frames(self, answer: Answer, ask: Ask, usage: Usage, piece: int) -> Sequence[Frame]:
        """The chunks of a text_completion, up to `[DONE]`."""
        told = {"usage": write_usage(answer, usage)} if usage == "every" else {}
        last = {**_head(answer), "choices": [_choice("", STOPS[answer.stop])], **told}
        frames = [
            Frame(_data({**_head(answer), "choices": [_choice(text, None)], **told}), "content")
            for text in pieces(answer.text, piece)
        ]
        frames.append(Frame(_data(last), "finish"))
        if ask.usage_wanted and usage != "none":
            frames.append(Frame(_data({**_head(answer), "choices": [], "usage": write_usage(answer, usage)}), "finish"))
        return [*frames, Frame(b"data: [DONE]\n\n", "done")]


def _head(answer: Answer) -> dict[str, Any]:
    return {"id": f"cmpl-{answer.id}", "object": "text_completion", "created": CREATED, "model": answer.model}


def _choice(text: str, finish: str | None) -> dict[str, Any]:
    return {"text": text, "index": 0, "logprobs": None, "finish_reason": finish}


def _data(body: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % _ENCODER.encode(body)
