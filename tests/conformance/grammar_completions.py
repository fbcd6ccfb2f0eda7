"""What a strict client of OpenAI's text completions makes of an answer: whole ones, and streams up to `[DONE]`."""

from __future__ import annotations

import json

from grammar import Json, Told, records, require

_STOPS = {"stop": "end", "length": "length", "content_filter": "refusal"}


def completion_stream(stream: bytes) -> Told:
    """What a client is told by a stream: chunk* usage? [DONE] | … error."""
    told, done = Told(), False
    for event, data in records(stream):
        require(not event, "an event with a name", event)
        require(not done and told.error is None, "a record after the end", data)
        if data == "[DONE]":
            done = True
            continue
        body = json.loads(data)
        if "error" in body:
            told.error = body["error"]["message"]
            continue
        require(told.usage is None, "a chunk after the usage", body)
        _take(body, told, whole=False)
    require(done != (told.error is not None), "no end, or two", stream[-80:])
    require(not done or told.stop, "an end without a finish_reason", stream[-80:])
    return told


def completion_reply(data: bytes) -> Told:
    """What a client is told by a whole answer."""
    told = Told()
    _take(json.loads(data), told, whole=True)
    require(told.stop, "no finish_reason", data)
    return told


def _take(body: Json, told: Told, *, whole: bool) -> None:
    require(body["id"].startswith("cmpl-") and body["object"] == "text_completion", "no text completion", body)
    require(isinstance(body["created"], int), "no time", body)
    require(told.model in ("", body["model"]), "another model than before", body)
    told.model = body["model"]
    if usage := body.get("usage"):
        require(whole or not body["choices"], "usage beside words", body)
        require(usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"], "a wrong sum", usage)
        details = usage["prompt_tokens_details"]
        told.usage = {"input": usage["prompt_tokens"], "output": usage["completion_tokens"]}
        told.usage |= {"cached": details["cached_tokens"], "cache_write": details["cache_write_tokens"]}
    if not body["choices"]:
        return
    (choice,) = body["choices"]
    require(choice.keys() == {"text", "index", "logprobs", "finish_reason"}, "other fields than these", choice)
    require(choice["index"] == 0 and choice["logprobs"] is None, "another choice than one", choice)
    require(isinstance(choice["text"], str), "no text", choice)
    require(told.stop is None, "words after the end", choice)
    told.text += choice["text"]
    if choice["finish_reason"] is not None:
        told.stop = _STOPS[choice["finish_reason"]]
