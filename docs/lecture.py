"""Fills the lecture into the documentation: every page with its outputs and pictures, and as an executed notebook."""

import logging
import time

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from nbclient import NotebookClient

from elman.lecture.markdown import write_markdown
from elman.lecture.notebook import write_notebook
from elman.lecture.pages import Page, read_pages
from elman.lecture.running import run

SOURCE = "../src/elman/lecture/"  # where links on committed pages lead, so that they also work in a clone
FOLDER = "lecture/"
SECONDS_PER_CELL = 120

logger = logging.getLogger("mkdocs.hooks.lecture")


def on_config(config: MkDocsConfig) -> None:
    """List the pages in the navigation."""
    (section,) = [entry["Lecture"] for entry in config.nav if "Lecture" in entry]
    section += [{f"{page.number}. {page.title}": f"{FOLDER}{page.path.name}"} for page in read_pages()]


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Run every page, and execute its notebook."""
    for page in read_pages():
        began = time.perf_counter()
        pieces = list(run(page))
        seconds = time.perf_counter() - began
        notebook = f"{page.path.stem}.ipynb"
        link = f"\n[This page as a notebook]({notebook})\n"
        text = write_markdown(page, pieces, seconds) + link
        files.append(File.generated(config, f"{FOLDER}{page.path.name}", content=text))
        files.append(File.generated(config, f"{FOLDER}{notebook}", content=execute(write_notebook(page, pieces), page)))
        logger.info("page %d ran in %.1f s, and as a notebook in %.1f s", page.number, seconds, _since(began) - seconds)


def execute(notebook: str, page: Page) -> str:
    """Execute a notebook in a kernel of its own, and return it with its new outputs."""
    opened = nbformat.reads(notebook, as_version=4)
    nbformat.validate(opened)
    NotebookClient(opened, timeout=SECONDS_PER_CELL, kernel_name="python3").execute()
    for cell in opened.cells:
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                logger.info("page %d writes to standard error: %s", page.number, output["text"].strip())
    return nbformat.writes(opened)


def on_page_markdown(markdown: str, **kwargs: object) -> str:
    """Let links to the sources of pages lead to the pages."""
    return markdown.replace(f"]({SOURCE}", f"]({FOLDER}")


def _since(began: float) -> float:
    return time.perf_counter() - began
