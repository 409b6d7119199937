"""Running text, line by line: a sentence, a text or a source a line; in answer, a line for each of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from elman.data.lines import Lines, Problems
from elman.data.records import Classification, Example, Problem, Sentence, TaggedSentence, Translation
from elman.data.tokens.words import split_words
from elman.errors import DataError, UsageError


class SentenceLines:
    """A sentence a line; words end at blanks, and marks stand alone. With tags: ``word/TAG``.

    Example:
        >>> next(SentenceLines().read(Lines("Teddy bears are on sale!"), Problems(), tagged=False)).words
        ['Teddy', 'bears', 'are', 'on', 'sale', '!']
    """

    name = "text"
    copies = False

    def read(self, lines: Lines, problems: Problems, *, tagged: bool = False) -> Iterator[Sentence]:
        """Yield the sentences; see :class:`~elman.data.formats.sentences.SentenceFormat`.

        Raises:
            UsageError: tags are wanted, which running text does not have.
        """
        if tagged:
            raise UsageError(f"{lines.name}: running text has no tags to learn from; give CoNLL-U, or columns")
        for line in lines:
            yield Sentence(split_words(line), None, lines.number)

    def write(self, records: Iterable[TaggedSentence | Problem]) -> Iterator[str]:
        """Write a line for each sentence; a blank one for what could not be read."""
        for record in records:
            if isinstance(record, Problem):
                yield "\n"
            elif not record.sentence.is_comment:
                pairs = zip(record.sentence.words, record.tags, strict=True)
                yield " ".join(f"{word}/{tag}" for word, tag in pairs) + "\n"


class TextLines:
    r"""Texts without labels, one a line, blank lines too; in answer, their labels.

    Example:
        >>> [example.text for example in TextLines().read(Lines("so, so\n\n"), Problems(), labelled=False)]
        ['so, so', '']
    """

    def read(self, lines: Lines, problems: Problems, *, labelled: bool = False) -> Iterator[Example]:
        """Yield the texts; see :class:`~elman.data.formats.examples.ExampleReader`.

        Raises:
            DataError: labels are wanted, which lines of text do not have.
        """
        if labelled:
            raise DataError(f"{lines.name}: lines of text have no labels; give CSV, TSV, JSON lines, or a folder")
        for line in lines:
            yield Example(line, None, lines.number)

    @staticmethod
    def write(records: Iterable[Classification | Problem]) -> Iterator[str]:
        """Write the label of each text; a blank line for what could not be read."""
        for record in records:
            yield "\n" if isinstance(record, Problem) else f"{record.label}\n"


class SourceLines(TextLines):
    """Sources, one a line; in answer, their translations.

    Args:
        n_best: how many translations a source has: of one, a line is the translation; of several, there is a line for
            each of them, ``number ||| translation ||| score``.
    """

    def __init__(self, n_best: int = 1) -> None:
        self._n_best = n_best

    def write(self, records: Iterable[Translation | Problem]) -> Iterator[str]:  # type: ignore[override]
        """Write the translations of each source; blank ones for what could not be read."""
        for number, record in enumerate(records):
            texts = [("", 0.0)] * self._n_best if isinstance(record, Problem) else record.candidates
            if self._n_best == 1:
                yield f"{texts[0][0]}\n"
            else:
                yield "".join(f"{number} ||| {text} ||| {score:.4f}\n" for text, score in texts)
