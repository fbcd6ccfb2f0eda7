"""JSON Schemas of tools and answers, as OpenAI's protocols insist on them."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw


def typed(schema: Raw) -> Raw | dict[str, Any]:
    """A tool's schema with `type: object` where it has no type; without any properties an empty object's."""
    try:
        top = _OBJECT.decode(schema)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _EMPTY
    if "type" in top and ("properties" in top or bytes(top["type"]) != b'"object"'):
        return schema
    return {"type": "object", **top, **({} if "properties" in top or len(top) > 1 else {"properties": {}})}


def closed(schema: Raw) -> bool:
    """Whether a schema keeps OpenAI's rules for `strict`: every object closed, with all its properties required.

    Anthropic's own rule is laxer; asking for `strict` then would be an error instead of an answer.
    """
    try:
        return _closed(msgspec.json.decode(schema))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def _closed(node: Any) -> bool:
    if isinstance(node, list):
        return all(map(_closed, node))
    if not isinstance(node, dict):
        return True
    properties = node.get("properties")
    if isinstance(properties, dict) or node.get("type") == "object":
        required = node.get("required")
        names = set(properties or {})
        if node.get("additionalProperties") is not False or names != set(
            required if isinstance(required, list) else ()
        ):
            return False
    return all(map(_closed, node.values()))


INPUT = Raw(
    b'{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}'
)
"""The schema of a custom tool that is offered as a function: its free text is the one `input`."""

_EMPTY = Raw(b'{"type":"object","properties":{}}')
_OBJECT = msgspec.json.Decoder(dict[str, Raw])
