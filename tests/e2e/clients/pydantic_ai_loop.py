"""pydantic-ai through llmux: a tool loop, whole and streamed, and structured output.

Arguments: base URL, key, model, wire, prompt.
"""

import asyncio
import subprocess
import sys

import pydantic
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.ollama import OllamaProvider
from pydantic_ai.providers.openai import OpenAIProvider

BASE, KEY, MODEL, WIRE, PROMPT = sys.argv[1:]
MODELS = {
    "chat": lambda: OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=BASE + "/v1", api_key=KEY)),
    "responses": lambda: OpenAIResponsesModel(MODEL, provider=OpenAIProvider(base_url=BASE + "/v1", api_key=KEY)),
    "anthropic": lambda: AnthropicModel(MODEL, provider=AnthropicProvider(base_url=BASE, api_key=KEY)),
    "ollama": lambda: OpenAIChatModel(MODEL, provider=OllamaProvider(base_url=BASE + "/v1", api_key=KEY)),
}


class Answer(pydantic.BaseModel):
    name: str
    number: int


def bash(command: str) -> str:
    """Runs a shell command and gives its output."""
    return subprocess.run(command, shell=True, capture_output=True, text=True, check=False).stdout


async def main() -> None:
    model = MODELS[WIRE]()
    agent = Agent(model, tools=[bash])
    whole = await agent.run(PROMPT)
    print(whole.output)
    async with agent.iter(PROMPT) as run:
        async for node in run:
            if Agent.is_model_request_node(node):
                async with node.stream(run.ctx) as events:
                    async for _ in events:
                        pass
    print(run.result.output)
    if whole.usage.input_tokens < 1 or whole.usage.output_tokens < 1:
        sys.exit("no usage was reported")
    print(repr((await Agent(model, output_type=NativeOutput(Answer)).run("Name a number.")).output))


asyncio.run(main())
