"""Client programs as data: what each speaks, how it is pointed at llmux, how it is told by its requests."""
