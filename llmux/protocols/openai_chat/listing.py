"""Models of chat completions: OpenAI's, as in all its protocols (openai_listing.py)."""

from llmux.protocols.openai_listing import write_model, write_models

__all__ = ["write_model", "write_models"]
