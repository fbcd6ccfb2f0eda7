"""The anthropic SDK through llmux: only the base URL changes.

    pip install anthropic
    .venv/bin/python examples/sdk_anthropic.py --url http://127.0.0.1:8082 --model claude-sonnet-5-5 --key YOUR_KEY

Any backend may answer, an OpenAI-speaking one included: llmux translates answers, streams and tool calls.
"""

from __future__ import annotations

import argparse
import os
import sys

from anthropic import Anthropic, APIConnectionError, APIStatusError

TOOLS = [
    {
        "name": "multiply",
        "description": "Multiplies two whole numbers.",
        "input_schema": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
        },
    }
]


def answer(client: Anthropic, model: str) -> None:
    """One whole answer, and which backend gave it."""
    raw = client.messages.with_raw_response.create(
        model=model, max_tokens=500, messages=[{"role": "user", "content": "Say hello in one sentence."}]
    )
    print(f"[{raw.headers.get('x-llmux-backend')}] {raw.parse().content[0].text}")


def stream(client: Anthropic, model: str) -> None:
    """An answer as it is made, with its usage at the end."""
    with client.messages.stream(
        model=model, max_tokens=500, messages=[{"role": "user", "content": "Count from one to five."}]
    ) as events:
        for text in events.text_stream:
            print(text, end="", flush=True)
        usage = events.get_final_message().usage
        print(f"\n{usage.input_tokens} tokens in, {usage.output_tokens} tokens out")


def tools(client: Anthropic, model: str) -> None:
    """A tool call, its result, and the answer made from it."""
    messages = [{"role": "user", "content": "What is 17 times 23? Use the tool."}]
    first = client.messages.create(
        model=model, max_tokens=500, messages=messages, tools=TOOLS, tool_choice={"type": "any"}
    )
    results = []
    for block in first.content:
        if block.type == "tool_use":
            product = block.input["a"] * block.input["b"]
            print(f"{block.name}({block.input['a']}, {block.input['b']}) = {product}")
            results.append({"type": "tool_result", "tool_use_id": block.id, "content": str(product)})
    turns = [*messages, {"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    last = client.messages.create(model=model, max_tokens=500, messages=turns, tools=TOOLS)
    print("".join(block.text for block in last.content if block.type == "text"))


def count(client: Anthropic, model: str) -> None:
    """How many tokens a request has, by llmux's own counter."""
    told = client.messages.count_tokens(model=model, messages=[{"role": "user", "content": "How long am I?"}])
    print(f"{told.input_tokens} tokens")


def main() -> None:
    """Runs the four against the given llmux."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--url", default=os.environ.get("ANTHROPIC_BASE_URL", "http://127.0.0.1:8082"))
    options.add_argument("--key", default=os.environ.get("LLMUX_API_KEY", "no-key"))
    options.add_argument("--model", default="claude-sonnet-5-5")
    given = options.parse_args()
    try:
        with Anthropic(base_url=given.url, api_key=given.key) as client:
            for part in (answer, stream, tools, count):
                part(client, given.model)
    except APIConnectionError:
        sys.exit(f"no llmux answers at {given.url}; start one (`llmux demo --keep` needs no key), or give its --url")
    except APIStatusError as error:
        sys.exit(f"llmux answered {error.status_code}: {error.message}")


if __name__ == "__main__":
    main()
