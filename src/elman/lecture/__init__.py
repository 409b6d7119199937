"""The lecture: pages of text whose numbers and pictures are computed when they are read.

A page is a Markdown file in this folder. Its Python blocks run in order, in one namespace, and `{expressions}` in the
text are replaced by their values (:mod:`elman.lecture.pages` describes the format).

    page ──read_page──▶ Page(parts) ──run──▶ Text, Code, Output, Picture ──┬── cli/lecture.py ──▶ terminal
                                                                          ├── write_notebook ──▶ .ipynb
                                                                          └── write_markdown ──▶ documentation

Pages import two functions from here: :func:`picture` and :func:`shared`.
"""

from elman.lecture.pictures import picture as picture
from elman.lecture.sharing import shared as shared

__all__ = ["picture", "shared"]
