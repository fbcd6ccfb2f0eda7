"""The openai SDK through llmux: only the base URL changes.

    pip install openai
    .venv/bin/python examples/sdk_openai.py --url http://127.0.0.1:8082/v1 --model gpt-4o --key YOUR_KEY

Any backend may answer, Claude included: llmux translates answers, streams and tool calls.
"""

from __future__ import annotations

import argparse
import json
import os
import sys

from openai import APIConnectionError, APIStatusError, OpenAI

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "multiply",
            "description": "Multiplies two whole numbers.",
            "parameters": {
                "type": "object",
                "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
                "required": ["a", "b"],
            },
        },
    }
]


def answer(client: OpenAI, model: str) -> None:
    """One whole answer, and which backend gave it."""
    raw = client.chat.completions.with_raw_response.create(
        model=model, messages=[{"role": "user", "content": "Say hello in one sentence."}]
    )
    print(f"[{raw.headers.get('x-llmux-backend')}] {raw.parse().choices[0].message.content}")


def stream(client: OpenAI, model: str) -> None:
    """An answer as it is made, with its usage at the end."""
    events = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "Count from one to five."}],
        stream=True,
        stream_options={"include_usage": True},
    )
    for event in events:
        if event.choices and event.choices[0].delta.content:
            print(event.choices[0].delta.content, end="", flush=True)
        if event.usage:
            print(f"\n{event.usage.prompt_tokens} tokens in, {event.usage.completion_tokens} tokens out")


def tools(client: OpenAI, model: str) -> None:
    """A tool call, its result, and the answer made from it."""
    messages = [{"role": "user", "content": "What is 17 times 23? Use the tool."}]
    first = client.chat.completions.create(model=model, messages=messages, tools=TOOLS, tool_choice="required")
    message = first.choices[0].message
    messages.append(message.model_dump(exclude_none=True))
    for call in message.tool_calls or []:
        numbers = json.loads(call.function.arguments)
        product = numbers["a"] * numbers["b"]
        print(f"{call.function.name}({numbers['a']}, {numbers['b']}) = {product}")
        messages.append({"role": "tool", "tool_call_id": call.id, "content": str(product)})
    last = client.chat.completions.create(model=model, messages=messages, tools=TOOLS)
    print(last.choices[0].message.content)


def main() -> None:
    """Runs the three against the given llmux."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--url", default=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8082/v1"))
    options.add_argument("--key", default=os.environ.get("LLMUX_API_KEY", "no-key"))
    options.add_argument("--model", default="gpt-4o")
    given = options.parse_args()
    try:
        with OpenAI(base_url=given.url, api_key=given.key) as client:
            for part in (answer, stream, tools):
                part(client, given.model)
    except APIConnectionError:
        sys.exit(f"no llmux answers at {given.url}; start one (`llmux demo --keep` needs no key), or give its --url")
    except APIStatusError as error:
        sys.exit(f"llmux answered {error.status_code}: {error.message}")


if __name__ == "__main__":
    main()
