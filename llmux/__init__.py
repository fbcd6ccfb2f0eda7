"""llmux: a capability-based routing multiplexer for LLMs.

A request enters through `app`, is understood by `protocols`, given a backend by `routing`, sent and answered by
`gateway`. `state` remembers, `access` knows keys, `config` reads the file, `cli` is the command line.
"""

from llmux._version import __version__

__all__ = ["__version__"]
