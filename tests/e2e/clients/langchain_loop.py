"""LangChain through llmux: a tool loop, whole and streamed, and structured output.

Arguments: base URL, key, model, wire, prompt.
"""

import subprocess
import sys

from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_core.tools import tool
from langchain_ollama import ChatOllama
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

BASE, KEY, MODEL, WIRE, PROMPT = sys.argv[1:]
MODELS = {
    "chat": lambda: ChatOpenAI(model=MODEL, base_url=BASE + "/v1", api_key=KEY),
    "responses": lambda: ChatOpenAI(model=MODEL, base_url=BASE + "/v1", api_key=KEY, use_responses_api=True),
    "anthropic": lambda: ChatAnthropic(model=MODEL, base_url=BASE, api_key=KEY),
    "ollama": lambda: ChatOllama(
        model=MODEL, base_url=BASE, client_kwargs={"headers": {"Authorization": "Bearer " + KEY}}
    ),
}


class Answer(BaseModel):
    """An answer of two fields."""

    name: str
    number: int


@tool
def bash(command: str) -> str:
    """Runs a shell command and gives its output."""
    return subprocess.run(command, shell=True, capture_output=True, text=True, check=False).stdout


model = MODELS[WIRE]()
agent = create_agent(model, [bash])
question = {"messages": [{"role": "user", "content": PROMPT}]}
last = agent.invoke(question)["messages"][-1]
print(last.text)
pieces = (piece for piece, _ in agent.stream(question, stream_mode="messages"))
print("".join(piece.text for piece in pieces if piece.type == "AIMessageChunk"))
if not last.usage_metadata or not last.usage_metadata["input_tokens"]:
    sys.exit("no usage was reported")
print(repr(model.with_structured_output(Answer, method="json_schema").invoke("Name a number.")))
