"""What OpenAI's older routes are given instead of messages: one text or several, as words or as token numbers.

`input` of embeddings and `prompt` of text completions have the same four shapes.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from llmux.errors import bad_request
from llmux.protocols.base import Body
from llmux.protocols.openai_chat import wire
from llmux.routing.needs import Estimate, Texts

_BYTES_PER_TOKEN = 4


class Inputs(Struct, frozen=True):
    """texts: those that came as words; numbers: lengths of those that came as token numbers."""

    texts: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()

    @property
    def tokens(self) -> Estimate:
        """A bound of their tokens: no tokenizer makes more tokens than bytes, and token numbers are what they are."""
        size, numbers = sum(self._sizes), sum(self.numbers)
        return Estimate(0, size + numbers, -(-size // _BYTES_PER_TOKEN) + numbers, "bound")

    @property
    def share(self) -> float:
        """What the longest of them is of the whole, 0 to 1: the model reads each by itself."""
        sizes = [*self._sizes, *self.numbers]
        return max(sizes) / sum(sizes) if len(sizes) > 1 and any(sizes) else 1.0

    @property
    def counted(self) -> Texts:
        """The same for counting."""
        return Texts(self.texts, sum(self.numbers))

    @property
    def _sizes(self) -> list[int]:
        return [len(text.encode("utf-8", "surrogatepass")) for text in self.texts]


def read_inputs(body: Body, key: str) -> Inputs:
    """The inputs under a key. Raises LlmuxError(bad_request) that names the place of a wrong shape."""
    value = wire.present(body, key)
    if value is None:
        raise bad_request(f"{key}: a text or a list of texts is needed", key)
    found = wire.decode(_INPUT, value, key)
    if isinstance(found, str):
        return Inputs((found,))
    texts = tuple(one for one in found if isinstance(one, str))
    lists = tuple(len(one) for one in found if isinstance(one, list))
    single = sum(isinstance(one, int) for one in found)  # token numbers without a list of their own are one input
    return Inputs(texts, (*lists, single) if single else lists)


_Input = str | list[str | int | list[int]]
_INPUT: msgspec.json.Decoder[_Input] = msgspec.json.Decoder(_Input)
