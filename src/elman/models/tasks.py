"""The table of tasks, from which the shell, the package's public names, the hub reader and the docs are made.

A task is a row of this table and a class in a file of its own; no other code depends on which task it runs. The table
imports neither torch nor a model: the classes are imported on first use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from elman.data.hub import HubFormat


def _one(sources: Sequence[Any], pictures: Any) -> tuple[Any, Any]:
    return sources[0], None


def _as_one_text(sources: Sequence[Any], pictures: Any) -> tuple[Any, Any]:
    return (sources[0] if len(sources) == 1 else list(sources)), None


def _pairs(sources: Sequence[Any], pictures: Any) -> tuple[Any, Any]:
    return sources[0], sources[1] if len(sources) == 2 else None


def _captioned_pictures(sources: Sequence[Any], pictures: Any) -> tuple[Any, Any]:
    return pictures, sources[0]


@dataclass(frozen=True, kw_only=True)
class Files:
    """The files that a task is trained and evaluated on, as arguments of a command."""

    metavar: str
    """Their name in the help."""
    help: str
    """What they contain."""
    most: int | None = 1
    """The maximum number of files; None for any number."""
    arrange: Callable[[Sequence[Any], Any], tuple[Any, Any]] = _one
    """Turns the files, and the pictures that they describe, into the X and y of ``fit``."""
    of_pictures: bool = False
    """Whether they describe pictures, which are given separately with --images."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How ``elman compare`` compares models of a task."""

    home: str
    """``module:function`` of the function that trains and evaluates models and yields a row for each."""
    models: str
    """The models compared by default."""
    models_help: str
    """Help of --models: the models that can be compared."""
    help: str
    """Help of the command."""

    @property
    def compare(self) -> Any:
        """The function itself."""
        return _import_named(self.home)


@dataclass(frozen=True, kw_only=True)
class TaskRow:
    """Everything that other modules know about a task."""

    home: str
    """``module:class`` of the model."""
    settings: str
    """``module:class`` of its settings, which can be imported without torch."""
    architecture: str
    """The shape of its inputs and outputs, such as many-to-one; for the docs."""
    purpose: str
    """What it is used for; for the docs."""
    formats: str
    """The file formats that it is trained on; for the docs."""
    page: str
    """Its page of the docs."""
    help: str
    """Help of ``elman train`` for this task."""
    files: Files
    """The files that it is trained on."""
    next_step: str
    """What to do with a trained model; ``{folder}`` stands for its folder."""
    samples: tuple[str, ...] = ()
    """Its built-in data sets."""
    hub: HubFormat | None = None
    """The format in which a data set of the hub is saved for this task; None if it cannot be."""
    comparison: Comparison | None = None
    """How ``elman compare`` compares models of this task; None if it does not."""
    answer_options: tuple[str, ...] = ()
    """The options that its ``answer`` takes."""
    generates: Literal["text", "music", None] = None
    """What ``elman generate`` generates with this task; None if the model needs an input."""

    @property
    def module(self) -> str:
        """The module of the model's class."""
        return self.home.partition(":")[0]

    @property
    def class_name(self) -> str:
        """The name of the model's class."""
        return self.home.partition(":")[2]

    @property
    def model_class(self) -> Any:
        """The model's class."""
        return _import_named(self.home)

    @property
    def settings_class(self) -> Any:
        """The class of the settings."""
        return _import_named(self.settings)


def _import_named(home: str) -> Any:
    """Import ``name`` from ``module``, given as ``module:name``."""
    module, _, name = home.partition(":")
    return getattr(import_module(module), name)


_NETWORKS = "any value of --cell, with bi in front for both directions, alone or as bilstm:LAYERSxUNITS"
_CELLS = "any value of --cell, alone or as lstm:LAYERSxUNITS"

TASKS: dict[str, TaskRow] = {
    "lm": TaskRow(
        home="elman.models.language_model:LanguageModel",
        settings="elman.settings.next_token:LanguageModelSettings",
        architecture="many-to-many, shifted by one",
        purpose="text generation",
        formats="any text",
        page="language-model.md",
        help="Train a language model on text. FILE... is read as one text; sample:NAME is a built-in one.",
        files=Files(metavar="FILE...", help="Text files.", most=None, arrange=_as_one_text),
        next_step="Generate text with it: elman generate {folder} --prompt TEXT",
        samples=("studies", "topics"),
        hub="text",
        comparison=Comparison(
            home="elman.comparison.language_models:compare_language_models",
            models="ngram:5,window:5,rnn,gru,lstm",
            models_help="The models, separated by commas: ngram:ORDER, window:TOKENS, and any value of --cell, alone "
            "or as lstm:LAYERSxUNITS.",
            help="Train several models on one text, each for the same time, and evaluate them on the same held-out "
            "part.",
        ),
        generates="text",
    ),
    "tagger": TaskRow(
        home="elman.models.tagger:Tagger",
        settings="elman.settings.labelling:TaggerSettings",
        architecture="many-to-many, aligned",
        purpose="parts of speech, named entities",
        formats="CoNLL-U, CoNLL columns",
        page="tagger.md",
        help="Train a tagger on sentences in CoNLL-U or CoNLL-2002/2003 columns; sample:sentences is built in.",
        files=Files(metavar="TRAIN", help="Tagged sentences; sample:sentences is built in."),
        next_step="Tag with it: elman predict {folder} FILE",
        samples=("sentences",),
        answer_options=("probabilities",),
        hub="columns",
        comparison=Comparison(
            home="elman.comparison.labels:compare_taggers",
            models="majority,frequent,hmm,rnn,bilstm",
            models_help="The models, separated by commas: majority, frequent (each word's most frequent tag), hmm, and "
            f"{_NETWORKS}.",
            help="Train several taggers on the same sentences, each for the same time, and evaluate them on the same "
            "held-out sentences.",
        ),
    ),
    "classifier": TaskRow(
        home="elman.models.classifier:Classifier",
        settings="elman.settings.labelling:ClassifierSettings",
        architecture="many-to-one",
        purpose="sentiment, spam, sensors",
        formats="CSV, TSV, JSON lines, folders, .npz",
        page="classifier.md",
        help="Train a classifier on CSV, TSV, JSONL, a folder of text files, or an .npz file of numbers; "
        "sample:messages is built in.",
        files=Files(metavar="TRAIN", help="Labelled examples; sample:messages is built in."),
        next_step="Classify with it: elman predict {folder} FILE",
        samples=("messages",),
        hub="records",
        comparison=Comparison(
            home="elman.comparison.labels:compare_classifiers",
            models="majority,logreg,logreg2,tfidf,mlp,mlp2,rnn,bilstm",
            models_help="The models, separated by commas: majority; logreg and mlp on word counts (logreg2 and mlp2 "
            f"with pairs of words too); tfidf, on words, pairs and characters; and {_NETWORKS}.",
            help="Train several classifiers on the same texts, each for the same time, and evaluate them on the same "
            "held-out texts.",
        ),
    ),
    "translator": TaskRow(
        home="elman.models.translator:Translator",
        settings="elman.settings.encoder_decoder:TranslatorSettings",
        architecture="many-to-many, encoder and decoder",
        purpose="translation, summaries",
        formats="two parallel files, TSV, JSON lines",
        page="translator.md",
        help="Train a translator on two parallel files, TRAIN.src TRAIN.tgt, or on one TSV, CSV or JSONL of pairs.\n\n"
        "It summarises too: sample:reports is built in.",
        files=Files(
            metavar="TRAIN...",
            help="Sources and targets, in two files or in one.",
            most=2,
            arrange=_pairs,
        ),
        next_step="Translate with it: elman predict {folder} FILE",
        samples=("reports",),
        answer_options=("search",),
        hub="records",
        comparison=Comparison(
            home="elman.comparison.texts:compare_translators",
            models="nearest,first,gru,lstm",
            models_help="The models, separated by commas: nearest (the target of the most similar source), first (the "
            f"first sentence), and {_CELLS}.",
            help="Train several translators on the same pairs, each for the same time, and evaluate them on the same "
            "held-out pairs.",
        ),
    ),
    "captioner": TaskRow(
        home="elman.models.captioner:Captioner",
        settings="elman.settings.encoder_decoder:CaptionerSettings",
        architecture="one-to-many",
        purpose="what a picture shows",
        formats="pictures or features; COCO JSON, TSV, Flickr8k",
        page="captioner.md",
        help="Train a captioner on pictures and captions (COCO JSON, TSV or Flickr8k's format); sample:shapes is built "
        "in.",
        files=Files(
            metavar="CAPTIONS",
            help="The captions, with the file names of their pictures.",
            arrange=_captioned_pictures,
            of_pictures=True,
        ),
        next_step="Describe pictures with it: elman predict {folder} PICTURES",
        samples=("shapes", "unseen-shapes"),
        answer_options=("search", "encoder"),
        comparison=Comparison(
            home="elman.comparison.texts:compare_captioners",
            models="constant,gru,lstm",
            models_help="The models, separated by commas: constant (the most typical caption for every picture), and "
            f"{_CELLS}.",
            help="Train several captioners on the same pictures, each for the same time, and evaluate them on the same "
            "held-out pictures.",
        ),
    ),
    "composer": TaskRow(
        home="elman.models.composer:Composer",
        settings="elman.settings.next_token:ComposerSettings",
        architecture="many-to-many, shifted by one",
        purpose="music",
        formats="MIDI, ABC",
        page="composer.md",
        help="Train a composer on a folder of MIDI or ABC files; sample:tunes is built in.",
        files=Files(metavar="MIDI_DIR", help="A folder or a file of tunes."),
        next_step="Compose with it: elman generate {folder} --seconds 30 --out tune.mid --wav tune.wav",
        samples=("tunes",),
        comparison=Comparison(
            home="elman.comparison.composers:compare_composers",
            models="ngram:3,ngram:5,rnn,gru,lstm",
            models_help=f"The models, separated by commas: ngram:ORDER, and {_CELLS}.",
            help="Train several composers on the same tunes, each for the same time, and evaluate them on the same "
            "held-out tunes.",
        ),
        generates="music",
    ),
}
