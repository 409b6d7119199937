"""Texts that a network writes on from prompts: several at once, each with options, a seed and an end of its own."""

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
    """A text to be written."""

    prompt: str | Path = ""
    """It is read first, however long; a ``Path`` names a file. Empty: the text goes on from ``state``, or begins."""
    sampling: Sampling = Sampling()  # noqa: RUF009 (it is frozen)
    """How its tokens are drawn."""
    max_tokens: int = 400
    """How many tokens to write at most."""
    seed: int | None = None
    """The same seed gives the same text; another each time where not given."""
    position: int = 0
    """How many tokens were drawn with this seed before: with the ``state`` after them, the text goes on as it would
    have gone on. The repetition penalty meets only tokens of the prompt and of this text."""
    stop: str | Sequence[str] = ()
    """A text that ends the writing, or several; they are not part of the result."""
    state: Any = None
    """What ``read``, or what was written before, returned; never changed in place."""

    def resolve(self) -> Request:
        """Return the request with a seed and a list of texts to stop at.

        Raises:
            UsageError: a value is outside its limits.
        """
        self.sampling.check()
        check_whole(max_tokens=self.max_tokens, position=self.position, seed=0 if self.seed is None else self.seed)
        check_positive("max_tokens", self.max_tokens, or_zero=True)
        check_positive("position", self.position, or_zero=True)
        stop = [self.stop] if isinstance(self.stop, str) else take_texts(self.stop, "stop")
        seed = torch.Generator().seed() % 2**31 if self.seed is None else self.seed  # the caller's numbers stay
        return replace(self, seed=seed, stop=stop)


@dataclass(frozen=True)
class Completion:
    """A text that was written."""

    text: str
    """Without the prompt, and without what it stopped at."""
    state: Any
    """What the network has read: the prompt and all tokens written, what it stopped at among them."""
    position: int
    """How many tokens were drawn with the request's seed, for going on."""


class TextWriting:
    """Texts being written: iterating yields the new piece of each as soon as it is certain.

    Args:
        network: what writes.
        states: what it has read, of as many streams together as there are requests, in their order.
        requests: resolved; their prompts are texts.
        tokenizer: what the tokens are.
        forbidden: tokens that are no text.
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
                decoder.push(read[-1])  # whether a space is due before the next word
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
        """Yield the new piece of each text after each stretch, the last time what was held back."""
        for _ in self._writing:
            yield [text.piece() for text in self._texts]
        yield [text.finish() for text in self._texts]

    def finish(self) -> list[str]:
        """Write to the end; return the whole texts."""
        return ["".join(pieces) for pieces in zip(*self, strict=True)]

    def states(self) -> list[State]:
        """Return the state of each text, which has read exactly what was written."""
        return self._writing.states()

    def positions(self) -> list[int]:
        """Return how many tokens were drawn for each text."""
        return self._writing.positions
