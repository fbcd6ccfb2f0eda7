"""Other gateways under the same load: `make bench-peers` (docs/performance.md says what came out).

install   puts them into a folder of their own: LiteLLM from PyPI, Portkey and claude-code-router from npm
programs  how each is started before the stub, and how it is asked
run       the rounds, interleaved with llmux and nginx, and the table

They are not dependencies, and not in CI: starting them takes half a minute and some hundred MB.
"""
