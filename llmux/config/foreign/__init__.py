"""Configurations of other gateways, read into llmux's own TOML.

    source   a file → its values and whose they are (source.py)
    draft    what llmux makes of them: tables in the order of the file, and what could not be carried (draft.py)
    litellm, claude_code_router, llm_link, llm_gateway   one reader each: values → draft

Nothing is lost in silence: a value that no reader asks for is listed with its place.
"""
