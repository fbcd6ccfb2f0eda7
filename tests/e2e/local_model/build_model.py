"""Writes a language model of 63,000 numbers into a GGUF file: `python build_model.py FILE`. Needs gguf and numpy.

It is a whole model of the llama architecture with a vocabulary, special tokens and a chat template, and it says the
same in every run: attention and feed-forward weights are zero, so the next token depends on the last one alone, and the
output weights of a token are the embedding of the one that it follows: `ANSWER`, or `CALL` where tools are offered.
"""

import sys
from itertools import pairwise

import numpy
from gguf import GGUFWriter, TokenType

WIDTH = 64
CONTEXT = 2048
BEGIN, END = "<s>", "</s>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>", "<|tool|>", "<|caller|>", "<|thinker|>")
ANSWER = ("Hello", "▁from", "▁a", "▁tiny", "▁model", ".")
THOUGHT = ("<think>", "Hm", "</think>")
CALL = '<tool_call>\n{"name":▁"look",▁"arguments":▁{"place":▁"Rome"}}\n</tool_call>'
TEMPLATE = """\
{{- bos_token }}
{%- if tools %}<|system|>{% for tool in tools %}{{ tool | tojson }}{% endfor %}{% endif %}
{%- for message in messages -%}
<|{{ message.role }}|>
{%- if message.reasoning_content %}<think>{{ message.reasoning_content }}</think>{% endif %}
{{- message.content or "" }}
{%- for call in message.tool_calls or [] -%}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>
{%- endfor %}
{%- endfor %}
{%- if add_generation_prompt %}
{%- if tools and messages[-1].role != "tool" %}<|caller|>
{%- elif enable_thinking is defined and enable_thinking %}<|thinker|>
{%- else %}<|assistant|>{% endif %}
{%- endif %}"""
"""It asks for a call where there are tools and no result yet, else for a thought where thinking is on."""


def vocabulary() -> dict[str, TokenType]:
    """Token -> its type. All 256 bytes are in it, so any text can be read."""
    return {
        "<unk>": TokenType.UNKNOWN,
        **dict.fromkeys((BEGIN, END, *ROLES), TokenType.CONTROL),
        **{f"<0x{byte:02X}>": TokenType.BYTE for byte in range(256)},
        **dict.fromkeys(("▁", *ANSWER, *THOUGHT, CALL), TokenType.NORMAL),
    }


def build(path: str) -> None:
    """Writes the model."""
    types = vocabulary()
    tokens = list(types)
    embedding = numpy.random.default_rng(7).choice([-1.0, 1.0], size=(len(tokens), WIDTH)).astype(numpy.float32)
    output = numpy.zeros_like(embedding)
    answer = (*ANSWER, END)
    for said in (("<|assistant|>", *answer), ("<|thinker|>", *THOUGHT, answer[0]), ("<|caller|>", CALL, END)):
        for before, after in pairwise(said):
            output[tokens.index(after)] += embedding[tokens.index(before)]

    writer = GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(WIDTH)
    writer.add_block_count(1)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_rope_dimension_count(WIDTH // 2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types([int(kind) for kind in types.values()])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(tokens.index(BEGIN))
    writer.add_eos_token_id(tokens.index(END))
    writer.add_add_space_prefix(False)
    writer.add_chat_template(TEMPLATE)

    nothing = numpy.zeros((WIDTH, WIDTH), numpy.float32)
    same = numpy.ones(WIDTH, numpy.float32)
    tensors = {"token_embd": embedding, "output_norm": same, "output": output}
    tensors |= {f"blk.0.{name}_norm": same for name in ("attn", "ffn")}
    tensors |= {f"blk.0.attn_{name}": nothing for name in ("q", "k", "v", "output")}
    tensors |= {f"blk.0.ffn_{name}": nothing for name in ("gate", "up", "down")}
    for name, values in tensors.items():
        writer.add_tensor(f"{name}.weight", values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    build(sys.argv[1])
