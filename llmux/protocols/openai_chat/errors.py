"""Errors of chat completions: OpenAI's, as in all its protocols (openai_errors.py)."""

from llmux.protocols.openai_errors import TYPES, error_object, message, write_error

__all__ = ["TYPES", "error_object", "message", "write_error"]
