"""Plain text with one sentence, text or source on each line, and one line for each answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from elman.data.lines import Lines, Problems
from elman.data.records import Classification, Example, Problem, Sentence, TaggedSentence, Translation
from elman.data.tokens.words import split_words
from elman.errors import DataError, UsageError


class SentenceLines:
    """One sentence on each line, split into words and punctuation marks. With tags: ``word/TAG``.

    Example:
        >>> next(SentenceLines().read(Lines("Teddy bears are on sale!"), Problems(), tagged=False)).words
        ['Teddy', 'bears', 'are', 'on', 'sale', '!']
    """

    name = "text"
    copies = False

    def read(self, lines: Lines, problems: Problems, *, tagged: bool = False) -> Iterator[Sentence]:
        """Yield the sentences; see :class:`~elman.data.formats.sentences.SentenceFormat`.

        Raises:
            UsageError: tags are requested, which plain text does not have.
        """
        if tagged:
            raise UsageError(f"{lines.name}: plain text has no tags to learn from; give CoNLL-U, or columns")
        for line in lines:
            yield Sentence(split_words(line), None, lines.number)

    def write(self, records: Iterable[TaggedSentence | Problem]) -> Iterator[str]:
        """Write a line for each sentence; a blank line for an unreadable one."""
        for record in records:
            if isinstance(record, Problem):
                yield "\n"
            elif not record.sentence.is_comment:
                pairs = zip(record.sentence.words, record.tags, strict=True)
                yield " ".join(f"{word}/{tag}" for word, tag in pairs) + "\n"


class TextLines:
    r"""One text on each line, without labels, including blank lines; the answers are labels.

    Example:
        >>> [example.text for example in TextLines().read(Lines("so, so\n\n"), Problems(), labelled=False)]
        ['so, so', '']
    """

    def read(self, lines: Lines, problems: Problems, *, labelled: bool = False) -> Iterator[Example]:
        """Yield the texts; see :class:`~elman.data.formats.examples.ExampleReader`.

        Raises:
            DataError: labels are requested, which plain text does not have.
        """
        if labelled:
            raise DataError(f"{lines.name}: plain text has no labels; give CSV, TSV, JSON lines, or a folder")
        for line in lines:
            yield Example(line, None, lines.number)

    @staticmethod
    def write(records: Iterable[Classification | Problem]) -> Iterator[str]:
        """Write the label of each text; a blank line for an unreadable one."""
        for record in records:
            yield "\n" if isinstance(record, Problem) else f"{record.label}\n"


class SourceLines(TextLines):
    """One source on each line; the answers are translations.

    Args:
        n_best: the number of translations of a source. With 1, each line is a translation; with more, each line is
            ``number ||| translation ||| score``.
    """

    def __init__(self, n_best: int = 1) -> None:
        self._n_best = n_best

    def write(self, records: Iterable[Translation | Problem]) -> Iterator[str]:  # type: ignore[override]
        """Write the translations of each source; blank ones for an unreadable source."""
        for number, record in enumerate(records):
            texts = [("", 0.0)] * self._n_best if isinstance(record, Problem) else record.candidates
            if self._n_best == 1:
                yield f"{texts[0][0]}\n"
            else:
                yield "".join(f"{number} ||| {text} ||| {score:.4f}\n" for text, score in texts)
