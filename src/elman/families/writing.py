"""Text generation: several texts at once, each with its own prompt, options, seed and stop strings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from elman.data.tokens.tokenizer import Tokenizer
from elman.data.values.texts import take_texts
from elman.decoding.options import Sampling
from elman.decoding.sampling import draw_key
from elman.decoding.streams import Stream, StreamNetwork, Writing
from elman.decoding.text import StreamText
from elman.nn.state import State
from elman.training.schedule import check_positive, check_whole


@dataclass(frozen=True, kw_only=True)
class Request:
    """A text to generate; see :meth:`elman.LanguageModel.generate_many`."""

    prompt: str | Path = ""
    """Text to continue, of any length; a ``Path`` names a file. If empty, the text continues from ``state``."""
    sampling: Sampling = Sampling()  # noqa: RUF009 (it is frozen)
    """How to draw the tokens."""
    max_tokens: int = 400
    """Maximum number of tokens to generate."""
    seed: int | None = None
    """The same seed gives the same text; by default every call gives a different one."""
    position: int = 0
    """How many tokens were already drawn with this seed. Together with the ``state`` after them, the text continues
    exactly as if it had not been interrupted. The repetition penalty sees only the prompt and this text."""
    stop: str | Sequence[str] = ()
    """A string, or several, that ends the text; it is not part of the result."""
    state: Any = None
    """A state returned by ``read`` or by an earlier generation; it is never modified."""

    def resolve(self) -> Request:
        """Check the request; return it with a seed and a list of stop strings.

        Raises:
            UsageError: a value is outside its limits.
        """
        self.sampling.check()
        check_whole(max_tokens=self.max_tokens, position=self.position, seed=0 if self.seed is None else self.seed)
        check_positive("max_tokens", self.max_tokens, or_zero=True)
        check_positive("position", self.position, or_zero=True)
        stop = [self.stop] if isinstance(self.stop, str) else take_texts(self.stop, "stop")
        seed = (
            torch.Generator().seed() % 2**31 if self.seed is None else self.seed
        )  # leaves the caller's generator untouched
        return replace(self, seed=seed, stop=stop)


@dataclass(frozen=True)
class Completion:
    """A generated text."""

    text: str
    """The text without the prompt and without the stop string."""
    state: Any
    """The state after the prompt and all generated tokens, including those of the stop string."""
    position: int
    """How many tokens were drawn with the request's seed: the ``position`` of a request that continues the text."""


class TextWriting:
    """Texts being generated; iterating yields the new piece of each text as soon as it is final.

    Args:
        network: the network that generates.
        states: the states after the prompts; together they have one stream for each request, in order.
        requests: the resolved requests; their prompts are strings.
        tokenizer: the tokenizer of the network.
        forbidden: tokens that are never generated.
    """

    def __init__(
        self,
        network: StreamNetwork[State],
        states: Sequence[State],
        requests: Sequence[Request],
        tokenizer: Tokenizer,
        forbidden: Sequence[int],
    ) -> None:
        self._texts: list[StreamText] = []
        streams: list[Stream] = []
        for request in requests:
            read = tokenizer.encode(str(request.prompt)).tolist()
            decoder = tokenizer.stream_decoder()
            if read and not str(request.prompt)[-1].isspace():
                decoder.push(read[-1])  # decides whether the next word needs a space before it
            text = StreamText(decoder, tokenizer.end_id, request.stop)
            self._texts.append(text)
            streams.append(
                Stream(
                    sampling=request.sampling,
                    key=draw_key(request.seed or 0),
                    position=request.position,
                    max_tokens=request.max_tokens,
                    stop=text.take,
                    forbidden=forbidden,
                    seen=read,
                )
            )
        self._writing = Writing(network, State.join(states, partial(torch.cat, dim=1)), streams)

    def __iter__(self) -> Iterator[list[str]]:
        """Yield the new piece of each text after each chunk of tokens, and finally what was held back."""
        for _ in self._writing:
            yield [text.piece() for text in self._texts]
        yield [text.finish() for text in self._texts]

    def finish(self) -> list[str]:
        """Generate to the end; return the whole texts."""
        return ["".join(pieces) for pieces in zip(*self, strict=True)]

    def states(self) -> list[State]:
        """Return the state of each text, after exactly the tokens that were generated."""
        return self._writing.states()

    def positions(self) -> list[int]:
        """Return how many tokens were drawn for each text."""
        return self._writing.positions
