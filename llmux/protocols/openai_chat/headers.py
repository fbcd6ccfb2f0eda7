"""Headers of chat completions: OpenAI's, as in all its protocols (openai_headers.py)."""

from llmux.protocols.openai_headers import limit_headers, span, write_headers

__all__ = ["limit_headers", "span", "write_headers"]
