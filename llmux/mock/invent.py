"""A value for a JSON Schema: the smallest honest one, always the same."""

from __future__ import annotations

from typing import Any

_DEEPEST = 8


def invent(schema: Any, depth: int = 0, definitions: Any = None) -> Any:
    """A value that a JSON Schema accepts: required properties only, first of an enum, shortest of an array.

    References are followed inside `$defs` and `definitions`. What the schema does not say becomes the text "mock".
    """
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return "mock"
    definitions = schema.get("$defs") or schema.get("definitions") or definitions or {}
    if isinstance(reference := schema.get("$ref"), str):
        return invent(definitions.get(reference.rsplit("/", 1)[-1]), depth + 1, definitions)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if schema.get("enum"):
        return schema["enum"][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return invent(schema[key][0], depth + 1, definitions)
    return _typed(schema, depth, definitions)


def _typed(schema: dict[str, Any], depth: int, definitions: Any) -> Any:
    kind = schema.get("type") or ("object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    match kind:
        case "object":
            properties = schema.get("properties") or {}
            wanted = schema.get("required") or []
            return {name: invent(properties.get(name), depth + 1, definitions) for name in wanted}
        case "array":
            return [invent(schema.get("items"), depth + 1, definitions)] * int(schema.get("minItems") or 0)
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return "mock".ljust(int(schema.get("minLength") or 0), "k")[: schema.get("maxLength")]
