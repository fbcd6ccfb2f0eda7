"""`llmux schema`: the JSON Schema of the configuration, for editors."""

from __future__ import annotations

from typing import Any

import rich_click as click


@click.command()
def command() -> None:
    """Print the JSON Schema of the configuration.

    Save it beside the configuration and name it in the first line, `#:schema ./config.schema.json`: editors then
    complete keys and show what they mean.
    """
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(config_schema()), indent=2).decode())


def config_schema() -> dict[str, Any]:
    """The schema of a configuration file. `null` is no value of TOML, so "not given" does not show in it."""
    import msgspec

    from llmux.config.schema import Secret
    from llmux.config.toml import ConfigView

    def secret(kind: type) -> dict[str, Any]:
        if kind is Secret:
            return {"type": "string"}
        raise NotImplementedError(kind)

    (schema,), definitions = msgspec.json.schema_components(
        [ConfigView], schema_hook=secret, ref_template="#/$defs/{name}"
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_without_null(schema),
        "$defs": {name: _written(_without_null(view), definitions) for name, view in definitions.items()},
    }


def _written(view: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of a section as files have it: a number, a truth value or a choice may also be a string with `${VAR}`
    in it, and editors show what a section is where it is named."""
    for key, part in view.get("properties", {}).items():
        if "$ref" in part and "description" not in part:
            part["description"] = definitions[part["$ref"].rpartition("/")[2]].get("description", "")
        about = {name: part[name] for name in ("description", "examples", "default") if name in part}
        if part.get("type") in ("integer", "number", "boolean") or "enum" in part:
            value = {name: part[name] for name in part if name not in about}
            view["properties"][key] = {"anyOf": [value, _REFERENCE], **about}
    return view


_REFERENCE = {"type": "string", "pattern": r"\$\{"}


def _without_null(schema: Any) -> Any:
    """The schema without `null` alternatives and defaults."""
    if isinstance(schema, list):
        return [_without_null(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _without_null(part) for key, part in schema.items() if not (key == "default" and part is None)}
    if "anyOf" in found:
        found["anyOf"] = [part for part in found["anyOf"] if part != {"type": "null"}]
        if len(found["anyOf"]) == 1:
            found |= found.pop("anyOf")[0]
    return found
