"""Prepares docstrings for the API page: doctests become code, roles become names, and settings are left out."""

import re

import griffe


class Docstrings(griffe.Extension):
    """Changes what mkdocstrings reads; mkdocs.yml names this file."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: object) -> None:
        """Rewrite the docstring of every module, class, function and attribute."""
        if obj.docstring is not None:
            text = re.sub(r"^(\s*)Example:$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE)
            obj.docstring.value = re.sub(r":(?:mod|class|func|meth|data|exc):`~?([^`]+)`", r"`\1`", text)

    def on_attribute_instance(self, *, attr: griffe.Attribute, **kwargs: object) -> None:
        """Leave settings out: docs/settings.md has them."""
        if attr.path.startswith(("elman.settings.", "elman.training.schedule.TrainingSettings.")):
            attr.public = False
