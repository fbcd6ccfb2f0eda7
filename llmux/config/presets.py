"""Known providers, one line each: what a provider's name alone tells us.

Facts are from the providers' own documentation. `family` groups names that serve the same models under other
addresses; it is the key into the model catalog and into `models.py`.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from msgspec import Struct

from llmux.routing.backend import Quirks


class Preset(Struct, frozen=True):
    """A provider that is known by name.

    base_url  in the form its protocol wants; empty: the operator must give it (Azure)
    keys      environment variables that may hold its key, the first that is set counts
    quirks    how it differs, when spoken to in `protocol`
    mount     the root of its Anthropic-compatible API; taken when the configuration says protocol = "anthropic"
    hosts     further host names of the same provider
    needs_key False for servers of one's own, which mostly ask for none
    url_key   environment variable that moves it elsewhere
    """

    family: str
    base_url: str
    keys: tuple[str, ...]
    quirks: Quirks = Quirks()
    mount: str = ""
    hosts: tuple[str, ...] = ()
    protocol: str = "openai"
    needs_key: bool = True
    url_key: str = ""


_OPENAI = Quirks(stop_max=4)
_GLM = Quirks(thinking_switch="thinking_type", reasoning_field="reasoning_content", cache_hints="passthrough")
_TYPED = Quirks(thinking_switch="thinking_type", reasoning_field="reasoning_content")
_KIMI = Quirks(
    thinking_switch="thinking_type",
    reasoning_field="reasoning_content",
    reasoning_required=True,
    tool_choice=("auto", "none", "named"),
    strict_tools=False,
    stop_max=5,
)
_DEEPSEEK = Quirks(
    thinking_switch="thinking_type",
    reasoning_field="reasoning_content",
    reasoning_required=True,
    efforts=("low", "high", "max"),
)
_OPENROUTER = Quirks(
    thinking_switch="effort",
    efforts=("none", "minimal", "low", "medium", "high", "xhigh"),
    reasoning_field="reasoning_details",
    cache_hints="passthrough",
    top_k=True,
)
_LMSTUDIO = Quirks(reasoning_field="reasoning_content", top_k=True, tool_choice=("auto", "none", "required"))
_VLLM = Quirks(thinking_switch="chat_template", reasoning_field="reasoning", top_k=True)
_LLAMACPP = Quirks(thinking_switch="chat_template", reasoning_field="reasoning_content", top_k=True, image_urls=False)
_MISTRAL = Quirks(tool_choice=("auto", "none", "required"), system_anywhere=False, stream_usage=False)

# fmt: off
# ruff: noqa: E501
PRESETS: dict[str, Preset] = {
    "openai": Preset("openai", "https://api.openai.com/v1", ("OPENAI_API_KEY",), _OPENAI),
    "anthropic": Preset("anthropic", "https://api.anthropic.com", ("ANTHROPIC_API_KEY",), protocol="anthropic", mount="https://api.anthropic.com"),
    "azure": Preset("azure", "", ("AZURE_OPENAI_API_KEY", "AZURE_API_KEY"), _OPENAI),
    "google": Preset("google", "https://generativelanguage.googleapis.com/v1beta/openai", ("GEMINI_API_KEY", "GOOGLE_API_KEY"), Quirks(thinking_switch="effort", efforts=("low", "medium", "high"), strict_tools=False)),
    "zhipu": Preset("zhipu", "https://open.bigmodel.cn/api/paas/v4", ("ZHIPU_API_KEY", "ZHIPUAI_API_KEY"), _GLM, "https://open.bigmodel.cn/api/anthropic"),
    "zai": Preset("zhipu", "https://api.z.ai/api/paas/v4", ("ZAI_API_KEY",), _GLM, "https://api.z.ai/api/anthropic"),
    "aliyun": Preset("aliyun", "https://dashscope.aliyuncs.com/compatible-mode/v1", ("DASHSCOPE_API_KEY", "ALIYUN_API_KEY", "ALIBABA_API_KEY"), Quirks(thinking_switch="enable_thinking", reasoning_field="reasoning_content"), "https://dashscope.aliyuncs.com/apps/anthropic", ("dashscope-intl.aliyuncs.com",)),
    "volcengine": Preset("volcengine", "https://ark.cn-beijing.volces.com/api/v3", ("ARK_API_KEY", "VOLCENGINE_API_KEY"), _TYPED, hosts=("ark.ap-southeast.bytepluses.com",)),
    "tencent": Preset("tencent", "https://tokenhub-intl.tencentcloudmaas.com/v1", ("TENCENT_API_KEY", "HUNYUAN_API_KEY"), _TYPED, "https://api.lkeap.cloud.tencent.com/api/anthropic", ("api.lkeap.cloud.tencent.com", "api.hunyuan.cloud.tencent.com")),
    "longcat": Preset("longcat", "https://api.longcat.chat/openai/v1", ("LONGCAT_API_KEY",), _TYPED, "https://api.longcat.chat/anthropic"),
    "moonshot": Preset("moonshot", "https://api.moonshot.ai/v1", ("MOONSHOT_API_KEY",), _KIMI, "https://api.moonshot.ai/anthropic", ("api.moonshot.cn",)),
    "minimax": Preset("minimax", "https://api.minimax.io/v1", ("MINIMAX_API_KEY",), mount="https://api.minimax.io/anthropic", hosts=("api.minimaxi.com",)),
    "deepseek": Preset("deepseek", "https://api.deepseek.com/v1", ("DEEPSEEK_API_KEY",), _DEEPSEEK, "https://api.deepseek.com/anthropic"),
    "cerebras": Preset("cerebras", "https://api.cerebras.ai/v1", ("CEREBRAS_API_KEY",), Quirks(reasoning_field="reasoning", no_done=True)),
    "groq": Preset("groq", "https://api.groq.com/openai/v1", ("GROQ_API_KEY",), Quirks(reasoning_field="reasoning", stop_max=4)),
    "mistral": Preset("mistral", "https://api.mistral.ai/v1", ("MISTRAL_API_KEY",), _MISTRAL),
    "xai": Preset("xai", "https://api.x.ai/v1", ("XAI_API_KEY",), Quirks(reasoning_exclusive=True, reasoning_field="reasoning_content")),
    "openrouter": Preset("openrouter", "https://openrouter.ai/api/v1", ("OPENROUTER_API_KEY",), _OPENROUTER, "https://openrouter.ai/api", ("eu.openrouter.ai",)),
    "synthetic": Preset("synthetic", "https://api.synthetic.new/openai/v1", ("SYNTHETIC_API_KEY",), Quirks(reasoning_field="reasoning_content"), "https://api.synthetic.new/anthropic"),
    "together": Preset("together", "https://api.together.xyz/v1", ("TOGETHER_API_KEY",), Quirks(top_k=True)),
    "fireworks": Preset("fireworks", "https://api.fireworks.ai/inference/v1", ("FIREWORKS_API_KEY",), Quirks(top_k=True)),
    # Native: its /v1 has no num_ctx, so the server's own (small) context would count, and cuts what is longer in silence.
    "ollama": Preset("ollama", "http://localhost:11434", ("OLLAMA_API_KEY",), Quirks(image_urls=False), "http://localhost:11434", protocol="ollama", needs_key=False, url_key="OLLAMA_BASE_URL"),
    "lmstudio": Preset("lmstudio", "http://localhost:1234/v1", ("LMSTUDIO_API_KEY",), _LMSTUDIO, needs_key=False, url_key="LMSTUDIO_BASE_URL"),
    "vllm": Preset("vllm", "http://localhost:8000/v1", ("VLLM_API_KEY",), _VLLM, "http://localhost:8000", needs_key=False, url_key="VLLM_BASE_URL"),
    "llamacpp": Preset("llamacpp", "http://localhost:8080/v1", ("LLAMACPP_API_KEY",), _LLAMACPP, "http://localhost:8080", needs_key=False, url_key="LLAMACPP_BASE_URL"),
}
# fmt: on

ALIASES = {
    "ark": "volcengine",
    "azure_openai": "azure",
    "dashscope": "aliyun",
    "gemini": "google",
    "kimi": "moonshot",
    "llama_cpp": "llamacpp",
    "lm_studio": "lmstudio",
}
"""Other names of the same."""


def find_preset(name: str) -> Preset | None:
    """The preset of a provider's name; hyphens and case do not matter."""
    return PRESETS.get(canonical(name))


def canonical(name: str) -> str:
    """The name that a provider has in the presets, where it has one."""
    plain = name.lower().replace("-", "_").replace(".", "")
    return ALIASES.get(plain, plain)


def preset_at(base_url: str) -> Preset | None:
    """The preset whose host an address has: a provider under a name of one's own is still recognised. Not for
    servers on this machine, whose ports say little."""
    return _HOSTS.get(urlsplit(base_url).hostname or "")


def _hosts() -> dict[str, Preset]:
    found: dict[str, Preset] = {}
    for preset in PRESETS.values():
        if preset.needs_key:
            for host in (urlsplit(preset.base_url).hostname, *preset.hosts):
                found.setdefault(host or "", preset)
    found.pop("", None)
    return found


_HOSTS = _hosts()
