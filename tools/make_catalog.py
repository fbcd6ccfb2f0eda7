"""Writes llmux/data/catalog.json from LiteLLM's model table.

    python tools/make_catalog.py model_prices_and_context_window_backup.json

The table lies in the `litellm` wheel (MIT), which `pip download --no-deps litellm` fetches and `unzip` opens.
Facts are kept by provider and model and never merged across providers: the same name has other limits elsewhere.
Afterwards put the wheel's version and the date into llmux/data/NOTICE.md.

One row per model, in the words of the configuration:
`context` and `max_output` in tokens, `vision`, `thinking`, `documents` (only where the source states them),
`price` in US dollars per million tokens as `input`, `output`, `cache_read`.
`context` is the source's input limit; where a vendor counts the output separately the whole window is larger.
"""

import json
import sys
from pathlib import Path
from typing import Any

CATALOG = Path(__file__).parent.parent / "llmux" / "data" / "catalog.json"

# LiteLLM's provider -> ours. Rows for longcat and openrouter, absent in 1.109.1, appear once LiteLLM has them.
PROVIDERS = {
    "anthropic": "anthropic",
    "azure": "azure",
    "cerebras": "cerebras",
    "dashscope": "aliyun",
    "deepseek": "deepseek",
    "fireworks_ai": "fireworks",
    "gemini": "google",
    "groq": "groq",
    "longcat": "longcat",
    "minimax": "minimax",
    "mistral": "mistral",
    "moonshot": "moonshot",
    "openai": "openai",
    "openrouter": "openrouter",
    "tencent": "tencent",
    "together_ai": "together",
    "volcengine": "volcengine",
    "xai": "xai",
    "zai": "zhipu",
}
MODES = {"chat", "responses"}
LIMITS = {"context": "max_input_tokens", "max_output": "max_output_tokens"}
FLAGS = {"vision": "supports_vision", "thinking": "supports_reasoning", "documents": "supports_pdf_input"}
PRICES = {
    "input": "input_cost_per_token",
    "output": "output_cost_per_token",
    "cache_read": "cache_read_input_token_cost",
}

Row = dict[str, Any]
Catalog = dict[str, dict[str, Row]]


def row(entry: Row) -> Row:
    """What we keep of one LiteLLM entry; empty when it says nothing that routing could use."""
    limits = {ours: entry[theirs] for ours, theirs in LIMITS.items() if is_limit(entry.get(theirs))}
    flags = {ours: entry[theirs] for ours, theirs in FLAGS.items() if isinstance(entry.get(theirs), bool)}
    price = {ours: per_million(entry[theirs]) for ours, theirs in PRICES.items() if is_price(entry.get(theirs))}
    if not limits and not flags:
        return {}
    return limits | flags | ({"price": price} if price else {})


def is_limit(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def is_price(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def per_million(price: float) -> float | int:
    """Dollars per million tokens, without the noise of binary fractions (1.25e-06 -> 1.25)."""
    rounded = float(f"{price * 1_000_000:.6g}")
    return int(rounded) if rounded.is_integer() else rounded


def distil(table: dict[str, Row]) -> Catalog:
    """Provider -> model -> row, both sorted. Of `model` and `provider/model` the latter, more explicit entry wins."""
    catalog: Catalog = {}
    for key, entry in table.items():
        theirs = entry.get("litellm_provider", "")
        if theirs not in PROVIDERS or entry.get("mode") not in MODES:
            continue
        model = key.removeprefix(f"{theirs}/")
        if model == key and f"{theirs}/{key}" in table:
            continue
        if facts := row(entry):
            catalog.setdefault(PROVIDERS[theirs], {})[model] = facts
    return {provider: dict(sorted(models.items())) for provider, models in sorted(catalog.items())}


def dump(catalog: Catalog) -> str:
    """JSON with one model per line, so that a new release reads well as a diff."""
    blocks = []
    for provider, models in catalog.items():
        lines = ",\n".join(f"{json.dumps(m)}:{json.dumps(r, separators=(',', ':'))}" for m, r in models.items())
        blocks.append(f"{json.dumps(provider)}:{{\n{lines}\n}}")
    return "{\n" + ",\n".join(blocks) + "\n}\n"


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: make_catalog.py model_prices_and_context_window_backup.json", file=sys.stderr)
        return 2
    catalog = distil(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    text = dump(catalog)
    CATALOG.write_text(text, encoding="utf-8")
    for provider, models in catalog.items():
        print(f"{provider:<12}{len(models):>5}")
    missing = sorted(set(PROVIDERS.values()) - set(catalog))
    print(f"{'bytes':<12}{len(text):>5}  without rows: {', '.join(missing) or 'none'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
