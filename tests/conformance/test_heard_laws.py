"""Whatever conversation a client tells, in whatever order: a strict chat provider takes it, and hears all of it."""

from __future__ import annotations

import json

from hearing import hear
from hypothesis import given
from hypothesis import strategies as st
from matrix import backend, translator

from llmux.protocols.base import Body, raw, write_body
from llmux.protocols.openai_chat import PROTOCOL

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(str.strip)
ids = st.sampled_from(["a", "b", "c:0"])
names = st.sampled_from(["look", "mcp__a_server_with_a_very_long_name__and_a_tool_with_a_longer_one_still", "odd.name"])
places = st.dictionaries(st.sampled_from(["x", "y"]), words, max_size=2)
PIXEL = "iVBORw0KGgo="

chat_calls = st.builds(
    lambda identity, name, place: {
        "id": identity, "type": "function", "function": {"name": name, "arguments": json.dumps(place)},
    },
    ids, names, places,
)  # fmt: skip
chat_image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
roles = st.sampled_from(["user", "system", "developer"])
chat_messages = st.lists(
    st.builds(
        lambda role, text: {"role": role, "content": text}, st.sampled_from(["user", "system", "developer"]), words
    )
    | st.builds(lambda text: {"role": "user", "content": [{"type": "text", "text": text}, chat_image]}, words)
    | st.builds(lambda text: {"role": "assistant", "content": text, "reasoning_content": text}, words)
    | st.builds(
        lambda text, calls: {"role": "assistant", "content": text, "tool_calls": calls},
        st.none() | words,
        st.lists(chat_calls, min_size=1, max_size=3),
    )
    | st.builds(lambda identity, text: {"role": "tool", "tool_call_id": identity, "content": text}, ids, words)
    | st.builds(lambda name, text: {"role": "function", "name": name, "content": text}, names, words),
    min_size=1,
    max_size=7,
)

text_blocks = st.builds(lambda text: {"type": "text", "text": text}, words)
image_block = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
results = st.builds(
    lambda identity, content, failed: {
        "type": "tool_result", "tool_use_id": identity, "content": content, "is_error": failed,
    },
    ids, words | st.lists(text_blocks | st.just(image_block), max_size=2), st.booleans(),
)  # fmt: skip
uses = st.builds(
    lambda identity, name, place: {"type": "tool_use", "id": identity, "name": name, "input": place}, ids, names, places
)
thoughts = st.builds(lambda text: {"type": "thinking", "thinking": text, "signature": "sig"}, words)
anthropic_messages = st.lists(
    st.builds(
        lambda blocks: {"role": "user", "content": blocks},
        st.lists(text_blocks | results | st.just(image_block), min_size=1, max_size=3),
    )
    | st.builds(
        lambda blocks: {"role": "assistant", "content": blocks},
        st.lists(text_blocks | uses | thoughts, min_size=1, max_size=3),
    )
    | st.builds(lambda text: {"role": "system", "content": text}, words),
    min_size=1,
    max_size=7,
)


def taken(inbound: str, messages: list[dict[str, object]], **tools: object) -> str:
    """What a strict chat provider hears of these messages: its words and the results of tools, one text."""
    body: Body = {"model": raw("m"), "max_tokens": raw(50), "messages": raw(messages)}
    body |= {key: raw(value) for key, value in tools.items()}
    prepared = translator(inbound, "openai").request(body, {}, backend("openai"), None)
    heard = hear("openai", json.loads(write_body(prepared.body)))
    return "\n".join([*heard.texts, *heard.results])


@given(anthropic_messages, st.lists(names, max_size=3, unique=True))
def test_any_conversation_of_messages_is_one_of_chat(messages: list[dict[str, object]], offered: list[str]) -> None:
    tools = [{"name": name, "input_schema": {"type": "object"}} for name in offered]
    told = taken("anthropic", messages, **({"tools": tools} if tools else {}))
    assert all(text in told for text in spoken(messages))


@given(chat_messages, st.lists(names, max_size=3, unique=True))
def test_any_conversation_of_chat_read_and_written_again_is_one(
    messages: list[dict[str, object]], offered: list[str]
) -> None:
    tools = [{"type": "function", "function": {"name": name}} for name in offered]
    body: Body = {"model": raw("m"), "messages": raw(messages)} | ({"tools": raw(tools)} if tools else {})
    written = PROTOCOL.write_request(PROTOCOL.read_request(body, {}), backend("openai"), None)
    heard = hear("openai", json.loads(write_body(written.body)))
    told = "\n".join([*heard.texts, *heard.results])
    assert all(text in told for text in spoken(messages))


def spoken(value: object) -> list[str]:
    """Every text in messages, wherever it stands, but for reasoning."""
    if isinstance(value, list):
        return [text for item in value for text in spoken(item)]
    if not isinstance(value, dict):
        return []
    found = [value[key] for key in ("text", "content") if isinstance(value.get(key), str)]
    return found + spoken(value.get("content"))
