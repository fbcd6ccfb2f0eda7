"""Known client programs, one row each. A new program is a row here and a line in docs/clients.md.

Facts are from the programs' own documentation and from runs of them (docs/clients.md says which were run). Ports of
`--app` differ, so that several programs can have a llmux each; 8090 is the simulated provider's.
"""

from __future__ import annotations

from difflib import get_close_matches

from llmux.clients.program import Program, Settings
from llmux.errors import Kind, LlmuxError

_CODEX_PROVIDER = (
    'model_providers.llmux={name="llmux",base_url="<url>/v1",env_key="LLMUX_API_KEY",wire_api="responses"}'
)
_OPENAI = (("OPENAI_BASE_URL", "<url>/v1"), ("OPENAI_API_KEY", "<key>"))
_ANTHROPIC = (("ANTHROPIC_BASE_URL", "<url>"), ("ANTHROPIC_API_KEY", "<key>"))

PROGRAMS = (
    Program(
        name="claude-code",
        title="Claude Code",
        trust="NODE_EXTRA_CA_CERTS",
        aliases=("claude",),
        protocols=("anthropic",),
        port=8089,
        agents=("claude-cli",),
        executable="claude",
        install="npm install -g @anthropic-ai/claude-code",
        environment=(
            ("ANTHROPIC_BASE_URL", "<url>"),
            ("ANTHROPIC_AUTH_TOKEN", "<key>"),
            ("ANTHROPIC_MODEL", "<model>"),
        ),
        unset=("ANTHROPIC_API_KEY", "CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX"),
        firm=("--settings", '{"env":{"ANTHROPIC_BASE_URL":"<url>","ANTHROPIC_API_KEY":""}}'),
        settings=Settings(
            format="json",
            home=".claude",
            moved=("CLAUDE_CONFIG_DIR", ".claude"),
            names=("settings.json",),
            values=(
                (("env", "ANTHROPIC_BASE_URL"), "<url>"),
                (("env", "ANTHROPIC_AUTH_TOKEN"), "<key>"),
                (("env", "ANTHROPIC_API_KEY"), ""),  # set where it starts, it would be sent beside our key
                (("env", "ANTHROPIC_MODEL"), "<model>"),
            ),
            beaten=("CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX"),
        ),
        note="It asks for opus, sonnet and haiku by their full names; model_match gives them to backends.",
    ),
    Program(
        name="codex-cli",
        title="Codex CLI",
        aliases=("codex",),
        protocols=("responses", "openai"),
        port=8088,
        agents=("codex_exec", "codex_cli_rs", "codex-tui", "codex_vscode"),
        executable="codex",
        install="npm install -g @openai/codex",
        environment=(("LLMUX_API_KEY", "<key>"),),
        arguments=("-c", 'model_provider="llmux"', "-c", _CODEX_PROVIDER),
        chosen=("-c", 'model="<model>"'),
        settings=Settings(
            format="toml",
            home=".codex",
            moved=("CODEX_HOME", ".codex"),
            names=("config.toml",),
            values=(
                (("model",), "<model>"),
                (("model_provider",), "llmux"),
                (("model_providers", "llmux", "name"), "llmux"),
                (("model_providers", "llmux", "base_url"), "<url>/v1"),
                (("model_providers", "llmux", "wire_api"), "responses"),
            ),
            keyed=((("model_providers", "llmux", "env_key"), "LLMUX_API_KEY"),),
            key_variable="LLMUX_API_KEY",
        ),
    ),
    Program(
        name="zed",
        title="Zed",
        protocols=("ollama",),
        port=11434,
        agents=("zed",),
        executable="",
        install="https://zed.dev/download",
        # From a table of model names, at most 16384, and 4096 for a name it does not know: Ollama would load the model
        # with that, and cut a longer prompt without a word.
        guesses=("options.num_ctx",),
        settings=Settings(
            format="json",
            home=".config/zed",
            windows="%APPDATA%/Zed",
            moved=("XDG_CONFIG_HOME", ".config"),
            moved_on_mac=False,
            names=("settings.json",),
            values=((("language_models", "ollama", "api_url"), "<url>"),),
            key_variable="OLLAMA_API_KEY",
        ),
        note="It looks for Ollama at http://localhost:11434 by itself, so with `--app zed` nothing has to be set. It "
        "sends a client key only when OLLAMA_API_KEY is set where it starts, or entered in its settings.",
    ),
    Program(
        name="opencode",
        title="opencode",
        trust="NODE_EXTRA_CA_CERTS",
        protocols=("openai", "responses", "anthropic"),
        port=8092,
        agents=("opencode",),
        executable="opencode",
        install="npm install -g opencode-ai",
        environment=(("LLMUX_API_KEY", "<key>"),),
        inline="OPENCODE_CONFIG_CONTENT",
        needs_model=True,
        settings=Settings(
            format="json",
            home=".config/opencode",
            moved=("XDG_CONFIG_HOME", ".config"),
            names=("opencode.json", "opencode.jsonc"),
            values=(
                (("provider", "llmux", "npm"), "@ai-sdk/openai-compatible"),
                (("provider", "llmux", "name"), "llmux"),
                (("provider", "llmux", "options", "baseURL"), "<url>/v1"),
                (("provider", "llmux", "options", "apiKey"), "any-text"),
                (("provider", "llmux", "models", "<model>", "name"), "<model>"),
                (("model",), "llmux/<model>"),
            ),
            beaten=("OPENCODE_CONFIG", "OPENCODE_CONFIG_CONTENT"),
            keyed=((("provider", "llmux", "options", "apiKey"), "{env:LLMUX_API_KEY}"),),
            key_variable="LLMUX_API_KEY",
        ),
    ),
    Program(
        name="qwen-code",
        title="Qwen Code",
        trust="NODE_EXTRA_CA_CERTS",
        aliases=("qwen",),
        protocols=("openai",),
        port=8093,
        agents=("qwencode",),
        executable="qwen",
        install="npm install -g @qwen-code/qwen-code",
        environment=(*_OPENAI, ("OPENAI_MODEL", "<model>")),
        arguments=("--auth-type", "openai"),
        needs_model=True,
        settings=Settings(
            format="json",
            home=".qwen",
            names=("settings.json",),
            values=(
                (("security", "auth", "selectedType"), "openai"),
                (("security", "auth", "baseUrl"), "<url>/v1"),
                (("security", "auth", "apiKey"), "<key>"),
                (("model", "name"), "<model>"),
            ),
            beaten=("OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_MODEL"),
        ),
    ),
    Program(
        name="aider",
        title="aider",
        protocols=("openai", "anthropic", "ollama"),
        port=8091,
        executable="aider",
        install="python -m pip install aider-install && aider-install",
        # Its own variables win over its settings files; OPENAI_API_BASE and OPENAI_API_KEY would not.
        environment=(
            ("AIDER_OPENAI_API_BASE", "<url>/v1"),
            ("AIDER_OPENAI_API_KEY", "<key>"),
            ("AIDER_MODEL", "openai/<model>"),
        ),
        unset=("OPENAI_BASE_URL",),
        needs_model=True,
        settings=Settings(
            format="yaml",
            home="",
            names=(".aider.conf.yml",),
            values=(
                (("openai-api-base",), "<url>/v1"),
                (("openai-api-key",), "<key>"),
                (("model",), "openai/<model>"),
            ),
            beaten=("OPENAI_BASE_URL", "AIDER_OPENAI_API_BASE", "AIDER_OPENAI_API_KEY", "AIDER_MODEL"),
        ),
        note="Its own .aider.conf.yml in a repository wins over the one in the home directory.",
    ),
    Program(
        name="goose",
        title="goose",
        protocols=("openai",),
        port=8094,
        executable="goose",
        install="https://block.github.io/goose",
        environment=(
            ("GOOSE_PROVIDER", "openai"),
            ("GOOSE_MODEL", "<model>"),
            ("OPENAI_HOST", "<url>"),
            ("OPENAI_BASE_PATH", "v1/chat/completions"),
            ("OPENAI_API_KEY", "<key>"),
        ),
        needs_model=True,
    ),
    Program(
        name="crush",
        title="Crush",
        protocols=("openai", "anthropic"),
        port=8095,
        install="npm install -g @charmland/crush",
        example=(
            "// crush.json",
            '"providers": {"llmux": {"type": "openai-compat", "base_url": "<url>/v1", "api_key": "<key>",',
            '  "models": [{"id": "<model>", "name": "<model>"}]}}',
        ),
    ),
    Program(
        name="llm",
        title="llm",
        protocols=("openai", "anthropic"),
        port=8096,
        executable="llm",
        install="pipx install llm",
        environment=_OPENAI,
        chosen=("-m", "<model>"),
        note="It takes the names of OpenAI's models; for other names see its extra-openai-models.yaml (api_base). "
        "llm-anthropic takes ANTHROPIC_BASE_URL.",
    ),
    Program(
        name="continue",
        title="Continue",
        protocols=("openai",),
        port=8097,
        example=(
            "# ~/.continue/config.yaml",
            "models:",
            "  - name: llmux",
            "    provider: openai",
            "    model: <model>",
            "    apiBase: <url>/v1",
            "    apiKey: <key>",
        ),
    ),
    Program(
        name="ollama",
        title="Ollama's CLI and SDKs",
        protocols=("ollama",),
        port=11434,
        agents=("ollama", "ollama-python", "ollama-js"),
        executable="ollama",
        install="https://ollama.com/download",
        environment=(("OLLAMA_HOST", "<url>"),),
        example=(
            'client = ollama.Client(host="<url>", headers={"Authorization": "Bearer <key>"})',
        ),
        note="The command line sends no client key: it needs a llmux without any. No models are pulled through llmux.",
    ),
    Program(
        name="openai-sdk",
        title="OpenAI SDKs",
        aliases=("openai",),
        protocols=("openai", "responses"),
        agents=("openai", "asyncopenai"),
        environment=_OPENAI,
        example=('client = OpenAI(base_url="<url>/v1", api_key="<key>")',),
    ),
    Program(
        name="anthropic-sdk",
        title="Anthropic SDKs",
        aliases=("anthropic",),
        protocols=("anthropic",),
        agents=("anthropic", "asyncanthropic"),
        environment=_ANTHROPIC,
        unset=("ANTHROPIC_AUTH_TOKEN",),
        example=('client = Anthropic(base_url="<url>", api_key="<key>")',),
    ),
    Program(
        name="ai-sdk",
        title="AI SDK",
        protocols=("openai", "responses", "anthropic"),
        agents=("ai", "ai-sdk"),
        example=('const llmux = createOpenAICompatible({ name: "llmux", baseURL: "<url>/v1", apiKey: "<key>" });',),
    ),
    Program(
        name="pydantic-ai",
        title="Pydantic AI",
        protocols=("openai", "responses", "anthropic"),
        agents=("pydantic-ai",),
        environment=_OPENAI,
        example=(
            'model = OpenAIChatModel("<model>", provider=OpenAIProvider(base_url="<url>/v1", api_key="<key>"))',
        ),
    ),
    Program(
        name="langchain",
        title="LangChain",
        protocols=("openai", "responses", "anthropic", "ollama"),
        example=('model = ChatOpenAI(model="<model>", base_url="<url>/v1", api_key="<key>")',),
    ),
)  # fmt: skip
"""Every known client program: agents first, then libraries."""

_NAMES = {name: program for program in PROGRAMS for name in (program.name, *program.aliases)}


def find_program(name: str) -> Program:
    """The program of that name or alias; case and underscores do not matter. Raises LlmuxError(config) for another."""
    plain = name.strip().lower().replace("_", "-")
    if found := _NAMES.get(plain):
        return found
    near = get_close_matches(plain, _NAMES, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(program.name for program in PROGRAMS)}"
    raise LlmuxError(Kind.config, f"no client program {name[:60]!r} is known; {hint}")
