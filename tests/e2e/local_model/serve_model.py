"""llama.cpp's own server over a model: `python serve_model.py FILE PORT`. Needs xllamacpp, which holds that server.

It ends with its standard input, so that it never outlives who started it.
"""

import sys

import xllamacpp


def main(path: str, port: int) -> None:
    """Serves until standard input ends."""
    parameters = xllamacpp.CommonParams()
    parameters.model.path = path
    parameters.model_alias = {"tiny"}
    parameters.use_jinja = True  # tools
    parameters.port = port
    parameters.n_ctx = 2048
    parameters.n_parallel = 2
    parameters.cpuparams.n_threads = 1
    parameters.embedding = True
    parameters.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
