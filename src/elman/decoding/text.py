"""The text of a stream, decoded piece by piece and ended by a stop string."""

from __future__ import annotations

from collections.abc import Sequence

from elman.data.tokens.tokenizer import StreamDecoder
from elman.errors import UsageError


class StreamText:
    """The text of one stream, which ends before a stop string or at the end token.

    Args:
        decoder: turns ids into text; it may have read a prompt.
        end_id: the token that ends the text and is not part of it.
        stop: strings that end the text and are not part of it.
    """

    def __init__(self, decoder: StreamDecoder, end_id: int, stop: Sequence[str]) -> None:
        self._decoder, self._end_id, self._buffer = decoder, end_id, StopBuffer(stop)
        self._piece = ""

    def take(self, ids: Sequence[int]) -> int | None:
        """Add new ids; return how many of them were used if the text has ended, or None if it continues."""
        for count, token_id in enumerate(ids, start=1):
            if token_id == self._end_id:
                return count
            self._piece += self._buffer.push(self._decoder.push(token_id))
            if self._buffer.stopped:
                return count
        return None

    def piece(self) -> str:
        """Return the text that has become certain since the last call."""
        piece, self._piece = self._piece, ""
        return piece

    def finish(self) -> str:
        """Return the rest of the text when the stream has ended."""
        return self.piece() + self._buffer.push(self._decoder.finish()) + self._buffer.finish()


class StopBuffer:
    """Holds back the end of a text as long as it may be the start of a stop string.

    Example:
        >>> buffer = StopBuffer(["END"])
        >>> buffer.push("the E"), buffer.push("gg. EN"), buffer.push("D of it"), buffer.stopped
        ('the ', 'Egg. ', '', True)
    """

    def __init__(self, stop: Sequence[str]) -> None:
        stop = [stop] if isinstance(stop, str) else stop
        if "" in stop:
            raise UsageError("a stop string is empty; give the text to stop at, or leave `stop` out")
        self._stop = stop
        self._held = ""
        self.stopped = False

    def push(self, piece: str) -> str:
        """Add the next piece of text; return the text that cannot be part of a stop string."""
        if self.stopped:
            return ""
        text = self._held + piece
        found = [position for position in (text.find(stop) for stop in self._stop) if position >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)]
        held = max((_overlap(text, stop) for stop in self._stop), default=0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def finish(self) -> str:
        """Return the text that is still held back when the stream has ended."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Return how many characters at the end of ``text`` are a prefix of ``stop``."""
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if stop.startswith(text[len(text) - size :])), 0)
