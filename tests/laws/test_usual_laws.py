"""The quick way of reading a block is the careful one: it makes the same part, or leaves the block to the other."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmux.errors import LlmuxError
from llmux.protocols.anthropic import blocks_read, wire

words = st.sampled_from(["", "words", "back\\slash", "é 中", 'a "quote"', "line\n"])
hints: st.SearchStrategy[dict[str, Any]] = st.sampled_from([{}, {}, {"cache_control": {"type": "ephemeral"}}])
anything = st.none() | st.integers(0, 9) | words | st.lists(words, max_size=2)
texts = st.builds(lambda text, hint: {"type": "text", "text": text, **hint}, words | st.none(), hints)
others = st.sampled_from(
    [
        {"type": "text"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
        {"type": "document", "source": {"type": "text", "data": "a document"}, "title": "its title"},
        {"type": "tool_reference", "tool_name": "named"},
        {"type": "browser_state", "tabs": []},
        {"type": "thinking", "thinking": "thought"},
        {"type": "text", "text": "words", "id": 5},
        {"type": "of tomorrow"},
    ]
)
answers = anything | st.lists(texts, max_size=3) | st.lists(texts | others, max_size=3)
results = st.fixed_dictionaries(
    {"type": st.just("tool_result"), "tool_use_id": st.sampled_from(["a", "b", ""])},
    optional={"content": answers, "is_error": st.sampled_from([True, False, None]), "cache_control": anything},
)
calls = st.fixed_dictionaries(
    {"type": st.just("tool_use"), "id": st.sampled_from(["a", ""]), "name": st.sampled_from(["named", ""])},
    optional={"input": st.dictionaries(words, anything, max_size=2) | anything},
)


@given(st.lists(texts | results | calls | others, max_size=4), st.sampled_from(["user", "assistant"]), st.booleans())
def test_the_usual_way_is_the_careful_one(blocks: list[dict[str, Any]], role: str, latest: bool) -> None:
    try:
        content = wire.CONTENT.decode(json.dumps(blocks, ensure_ascii=False).encode())
    except ValueError:  # a shape that is refused before
        return

    def read() -> object:
        try:
            return blocks_read.read_parts(content, role, "messages[0].content", latest=latest)
        except LlmuxError as error:
            return error.kind, error.detail, error.param

    quick = read()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks_read, "_usual", lambda *_: None)
        assert quick == read()
