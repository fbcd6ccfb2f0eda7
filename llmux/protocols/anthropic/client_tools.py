"""Tools that Anthropic names by type but the client runs itself, as the functions any model can be given."""

from __future__ import annotations

from msgspec import Raw

from llmux.protocols.base import raw
from llmux.protocols.dialog import Tool


def as_function(type_: str, name: str) -> Tool | None:
    """The tool that a vendor's type stands for; None where the provider runs it or no function can stand in for it."""
    for prefix, (description, schema) in _TOOLS.items():
        if type_.startswith(prefix):
            return Tool(name, description, schema)
    return None


def _schema(properties: dict[str, object], *required: str) -> Raw:
    return raw({"type": "object", "properties": properties, "required": list(required)})


def _text(description: str) -> dict[str, str]:
    return {"type": "string", "description": description}


_LINES = {
    "type": "array",
    "items": {"type": "integer"},
    "description": "First and last line to show, counted from 1; -1 is the last line of the file.",
}

_TOOLS = {
    "bash_": (
        "Run a command in a bash session that stays open between calls.",
        _schema(
            {
                "command": _text("The command to run."),
                "restart": {"type": "boolean", "description": "Start the session anew instead of running a command."},
            }
        ),
    ),
    "text_editor_": (
        "View, create and edit text files.",
        _schema(
            {
                "command": {"type": "string", "enum": ["view", "create", "str_replace", "insert"]},
                "path": _text("Path of the file or directory."),
                "view_range": _LINES,
                "file_text": _text("create: the content of the new file."),
                "old_str": _text("str_replace: the text to replace; it must occur exactly once."),
                "new_str": _text("str_replace: the text to put there."),
                "insert_line": {"type": "integer", "description": "insert: the line after which to insert."},
                "insert_text": _text("insert: the text to insert."),
            },
            "command",
            "path",
        ),
    ),
    "memory_": (
        "Keep notes in files below /memories, which outlive the conversation.",
        _schema(
            {
                "command": {
                    "type": "string",
                    "enum": ["view", "create", "str_replace", "insert", "delete", "rename"],
                },
                "path": _text("Path of the file or directory."),
                "view_range": _LINES,
                "file_text": _text("create: the content of the file."),
                "old_str": _text("str_replace: the text to replace."),
                "new_str": _text("str_replace: the text to put there."),
                "insert_line": {"type": "integer", "description": "insert: the line after which to insert."},
                "insert_text": _text("insert: the text to insert."),
                "old_path": _text("rename: the path now."),
                "new_path": _text("rename: the path afterwards."),
            },
            "command",
        ),
    ),
}
