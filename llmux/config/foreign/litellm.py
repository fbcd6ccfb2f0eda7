"""LiteLLM's `config.yaml`: deployments behind public names, fallbacks between the names.

model_name            a glob without wildcards in `model_match`: who asks for another name is told that there is none
several of one name   a `group`, balanced
fallbacks             the public name joins the `model_match` of the backends that stand in for it
"""

from __future__ import annotations

from typing import Any

from llmux.config.foreign.draft import Draft, host_name
from llmux.config.foreign.source import Table

PROVIDERS = {
    "ai21": "",
    "anthropic": "anthropic",
    "azure": "azure",
    "bedrock": "",
    "cerebras": "cerebras",
    "cohere": "",
    "dashscope": "aliyun",
    "databricks": "",
    "deepseek": "deepseek",
    "fireworks_ai": "fireworks",
    "gemini": "google",
    "github_copilot": "",
    "groq": "groq",
    "hosted_vllm": "vllm",
    "huggingface": "",
    "llamafile": "llamacpp",
    "lm_studio": "lmstudio",
    "minimax": "minimax",
    "mistral": "mistral",
    "moonshot": "moonshot",
    "ollama": "ollama",
    "ollama_chat": "ollama",
    "openai": "openai",
    "openai_like": "openai",
    "openrouter": "openrouter",
    "replicate": "",
    "sagemaker": "",
    "sagemaker_chat": "",
    "text-completion-openai": "openai",
    "together_ai": "together",
    "vertex_ai": "",
    "volcengine": "volcengine",
    "watsonx": "",
    "xai": "xai",
    "zai": "zai",
}
"""LiteLLM's prefix of a model -> the provider here; empty: llmux has no protocol for it."""

_DEFAULTS = ("temperature", "top_p", "max_tokens", "seed", "frequency_penalty", "presence_penalty", "reasoning_effort")
_BALANCE = {"latency-based-routing": "latency", "simple-shuffle": "round_robin"}
_CAPABILITIES = {
    "supports_vision": "vision",
    "supports_reasoning": "thinking",
    "supports_function_calling": "tools",
    "supports_pdf_input": "documents",
    "supports_response_schema": "json_schema",
}


def read_litellm(source: Table, draft: Draft) -> None:
    """Carries what can be carried into the draft."""
    router, settings, general = (
        source.table(name) for name in ("router_settings", "litellm_settings", "general_settings")
    )
    aliases = _aliases(router)
    stands_in = _fallbacks(router, settings, draft)
    balance = _BALANCE.get(router.text("routing_strategy"), "health")
    deployments: dict[str, list[dict[str, Any]]] = {}
    for model in source.tables("model_list"):
        found = _deployment(model, draft)
        if found is not None:
            deployments.setdefault(found.pop("public"), []).append(found)
    for public in _in_order(deployments, stands_in):
        names = [each for name in (public, *stands_in.get(public, ())) for each in (name, *aliases.get(name, ()))]
        grouped = {"group": public, "balance": balance} if len(deployments[public]) > 1 else {}
        for deployment in deployments[public]:
            own = deployment | grouped
            mode = own.pop("mode")
            match = [] if "*" in public else list(dict.fromkeys(names))
            backend = draft.backend(own.pop("model"), name=own.pop("name", ""), model_match=match, **own)
            if mode == "embedding":
                backend["embeddings"] = True
    draft.set("", "max_retries", router.whole("num_retries") or settings.whole("num_retries"))
    draft.set("timeouts", "total", router.number("timeout") or settings.number("request_timeout"))
    if key := reference(general.text("master_key")):
        draft.set("tokens", "litellm", key)
        draft.lose("general_settings.master_key", "it is a client key now; administrators need [admin] token")
    environment = source.table("environment_variables")
    for name in environment.names():
        draft.lose(f"environment_variables.{name}", "set it in the environment, or in a .env beside config.toml")
    environment.forget(*environment.names())
    settings.forget("drop_params", "set_verbose", "modify_params", "json_logs")


def reference(text: str) -> str:
    """A secret as llmux refers to it: `os.environ/NAME` is `env:NAME`."""
    return f"env:{text.removeprefix('os.environ/')}" if text.startswith("os.environ/") else text


def _deployment(model: Table, draft: Draft) -> dict[str, Any] | None:
    """One entry of `model_list`; None when llmux cannot serve it."""
    public, given, info = model.text("model_name"), model.table("litellm_params"), model.table("model_info")
    full = given.text("model")
    if not full:
        draft.lose(f"{model.path}", "it names no model")
        return None
    prefix, slash, rest = full.partition("/")
    known = PROVIDERS.get(prefix) if slash else None
    base_url = reference_url(given.text("api_base") or given.text("base_url"))
    if known == "":
        draft.lose(
            f"{model.path} ({full})", f"llmux has no provider {prefix}; an OpenAI-compatible address of it works"
        )
        given.forget(*given.names())
        info.forget(*info.names())
        return None
    name, rest = (known, rest) if known is not None else (_guess(full), full)
    if rest == "*" or "*" in rest:
        draft.lose(f"{model.path} ({full})", "a backend is one model; write one [[backend]] for each that is wanted")
        given.forget(*given.names())
        info.forget(*info.names())
        return None
    if base_url and name == "openai" and "api.openai.com" not in base_url:
        name = host_name(base_url)
    provider = draft.provider(
        name,
        base_url=base_url,
        api_key=reference(given.text("api_key")),
        api_version=given.text("api_version"),
        headers={key: str(value) for key, value in (given.any("extra_headers") or {}).items()},
    )
    tokens = given.whole("tpm")
    return {
        "public": public or full,
        "model": f"{provider}:{rest}",
        "mode": info.text("mode"),
        "context": info.whole("max_input_tokens"),
        "max_output": info.whole("max_output_tokens"),
        **{ours: info.flag(theirs) for theirs, ours in _CAPABILITIES.items()},
        "max_per_minute": given.whole("rpm"),
        "limits": [{"tokens": tokens, "window": "1m"}] if tokens else [],
        "max_concurrent": given.whole("max_parallel_requests"),
        "timeouts": {
            key: value
            for key, value in (("total", given.number("timeout")), ("first_token", given.number("stream_timeout")))
            if value
        },
        "key_add": {key: value for key in _DEFAULTS if (value := given.any(key)) is not None},
    }


def reference_url(text: str) -> str:
    """An address, which may come from a variable too."""
    return "${" + text.removeprefix("os.environ/") + "}" if text.startswith("os.environ/") else text


def _guess(model: str) -> str:
    return "anthropic" if model.startswith("claude") else "google" if model.startswith("gemini") else "openai"


def _aliases(router: Table) -> dict[str, list[str]]:
    """Public name -> further names for it."""
    found: dict[str, list[str]] = {}
    given = router.any("model_group_alias")
    for alias, target in (given if isinstance(given, dict) else {}).items():
        name = target.get("model", "") if isinstance(target, dict) else target
        found.setdefault(str(name), []).append(str(alias))
    return found


def _fallbacks(router: Table, settings: Table, draft: Draft) -> dict[str, list[str]]:
    """Public name -> the names it stands in for."""
    found: dict[str, list[str]] = {}
    for table in (router, settings):
        for key in ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks"):
            for row in table.any(key) or []:
                if not isinstance(row, dict):
                    continue
                for name, others in row.items():
                    for other in others if isinstance(others, list) else []:
                        found.setdefault(str(other), []).append(str(name))
        for name in table.words("default_fallbacks"):
            draft.lose(f"default_fallbacks {name}", "take model_match out of its backend: then it takes any name")
    return found


def _in_order(deployments: dict[str, Any], stands_in: dict[str, list[str]]) -> list[str]:
    """Public names, those that are stood in for before their stand-ins, else as in the file."""
    found: list[str] = []
    wanted: set[str] = set()

    def add(name: str) -> None:
        if name in wanted or name not in deployments:
            return
        wanted.add(name)
        for other in stands_in.get(name, ()):
            add(other)
        found.append(name)

    for name in deployments:
        add(name)
    return found
