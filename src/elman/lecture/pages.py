"""The pages: Markdown files, numbered in the order of the lecture.

    ---
    presumes: what a reader should know
    ---
    # Title

    Text with a number that is computed: `{loss:.2f}` nats.

    ```python m2 m3
    loss = ...          # covers the rows m2 and m3 of the lecture
    ```

    ```python exercise
    def name(...): ...  # for the reader to write: shown, not run
    ```

Inline code whose content stands in braces is an expression with a format, as in an f-string. It may use what the blocks
above it define; one with a colon, a brace or a backquote needs a name in a block. Other fenced blocks are text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Formatter
from typing import TypeAlias

from elman.errors import DataError, UsageError, suggest

FOLDER = Path(__file__).parent
WORDS_PER_MINUTE = 150  # of technical text, with the code beside it

_NAME = re.compile(r"(\d+)-(.+)\.md")
_FENCE = re.compile(r"^```python\b([^\n]*)\n(.*?)^```\n?", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"(?<!`)`(\{[^`\n]+\})`(?!`)")


@dataclass(frozen=True)
class Prose:
    """Markdown between two blocks."""

    text: str
    """With expressions such as `{loss:.2f}`, in backquotes."""
    line: int
    """The first line in the file."""


@dataclass(frozen=True)
class Block:
    """A Python block."""

    source: str
    line: int
    """The first line in the file."""
    rows: tuple[str, ...] = ()
    """The rows of the lecture that this computation covers."""
    is_exercise: bool = False
    """Whether it is for the reader to complete, and not run."""


Part: TypeAlias = Prose | Block


@dataclass(frozen=True)
class Page:
    """One page."""

    number: int
    name: str
    """As in the file's name: vanishing-gradients."""
    title: str
    presumes: str
    parts: tuple[Part, ...]

    @property
    def path(self) -> Path:
        """The file."""
        return FOLDER / f"{self.number:02d}-{self.name}.md"

    @property
    def blocks(self) -> list[Block]:
        """The Python blocks that run."""
        return [part for part in self.parts if isinstance(part, Block) and not part.is_exercise]

    @property
    def rows(self) -> list[str]:
        """The rows of the lecture that its computations cover."""
        return [row for block in self.blocks for row in block.rows]

    @property
    def minutes(self) -> int:
        """How long the text takes to read."""
        words = sum(len((part.text if isinstance(part, Prose) else part.source).split()) for part in self.parts)
        return max(1, round(words / WORDS_PER_MINUTE))


@cache
def read_pages() -> tuple[Page, ...]:
    """Read all pages, in order."""
    return tuple(read_page(path) for path in sorted(FOLDER.glob("[0-9]*-*.md")))


def read_page(path: Path) -> Page:
    """Read a page.

    Raises:
        DataError: it has no head or no title.
    """
    name, text = _NAME.fullmatch(path.name), path.read_text(encoding="utf-8")
    head = re.match(r"---\npresumes: ([^\n]+)\n---\n+# ([^\n]+)\n+", text)
    if name is None or head is None:
        raise DataError(f"{path}: not a page; it begins with --- and presumes:, then --- and a # title")
    return Page(int(name[1]), name[2], title=head[2], presumes=head[1], parts=tuple(_split(text, head.end())))


def _split(text: str, start: int) -> list[Part]:
    """Split a page, after its head, into text and blocks."""
    parts: list[Part] = []

    def add_prose(stop: int) -> None:
        if prose := text[start:stop].strip("\n"):
            first = start + len(text[start:stop]) - len(text[start:stop].lstrip("\n"))
            parts.append(Prose(prose, text.count("\n", 0, first) + 1))

    for fence in _FENCE.finditer(text, start):
        add_prose(fence.start())
        words, line = fence[1].split(), text.count("\n", 0, fence.start(2)) + 1
        is_exercise = words == ["exercise"]
        parts.append(Block(fence[2].rstrip("\n"), line, () if is_exercise else tuple(words), is_exercise))
        start = fence.end()
    add_prose(len(text))
    return parts


def find_page(word: str) -> Page:
    """Return the page with this number, or whose name begins with or contains this word.

    Raises:
        UsageError: there is none, or several.

    Example:
        >>> find_page("1").name == find_page("01-counts").name == find_page("counts").name
        True
    """
    pages = read_pages()
    wanted = word.strip().lower().removesuffix(".md").replace(" ", "-").replace("_", "-")
    if wanted.isdecimal():
        found = [page for page in pages if page.number == int(wanted)]
        if not found:
            raise UsageError(f"there is no page {word}; the pages are 1 to {pages[-1].number}, see elman lecture")
        return found[0]
    found = [page for page in pages if wanted in (page.name, page.path.stem)]
    found = found or [page for page in pages if wanted and wanted in page.name]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(page.name for page in found)
        raise UsageError(f"{word} is in the names of several pages: {names}; give the whole name, or the number")
    parts = {part: page.name for page in pages for part in page.name.split("-")}
    hint = suggest(wanted, [page.name for page in pages]) or suggest(wanted, parts)
    raise UsageError(f"there is no page {word}{hint or ';'} see elman lecture for the list")


def fields_of(prose: str) -> list[tuple[str, str, str]]:
    """Split text at its expressions: pieces of (text before, expression, format), the last with no expression.

    Example:
        >>> fields_of("Loss: `{loss:.2f}` nats in `code`.")
        [('Loss: ', 'loss', '.2f'), (' nats in `code`.', '', '')]
    """
    pieces, start = [], 0
    for field in _FIELD.finditer(prose):
        parsed = list(Formatter().parse(field[1]))
        if len(parsed) != 1 or not parsed[0][1]:
            continue  # not an expression, such as `{}`
        pieces.append((prose[start : field.start()], parsed[0][1], parsed[0][2] or ""))
        start = field.end()
    return [*pieces, (prose[start:], "", "")]
