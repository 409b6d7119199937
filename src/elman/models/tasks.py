"""The table of tasks: what the shell, the package's public names, the hub reader and the docs know of each.

A task is a row here and a class of its own; nothing else in Elman asks which task it has before it. The table imports
neither torch nor a model: classes are imported when a row is asked for one.
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
    """What a task learns from and is evaluated on, as words on a command line."""

    metavar: str
    """What they are called in help."""
    help: str
    """What they hold, in a sentence."""
    most: int | None = 1
    """How many there may be; any number where None."""
    arrange: Callable[[Sequence[Any], Any], tuple[Any, Any]] = _one
    """Turns them, and the pictures that they tell about, into the X and the y of ``fit``."""
    of_pictures: bool = False
    """Whether they tell about pictures, which lie elsewhere: --images."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What ``elman compare`` sets beside a task's networks."""

    home: str
    """``module:function``; the function trains and evaluates models, and yields a row for each."""
    models: str
    """The ones that are compared where none are named."""
    models_help: str
    """Which there are."""
    help: str
    """What the command does."""

    @property
    def compare(self) -> Any:
        """The function."""
        return _named(self.home)


@dataclass(frozen=True, kw_only=True)
class TaskRow:
    """What is known of a task outside its own files."""

    home: str
    """``module:class`` of the user's object."""
    settings: str
    """``module:class`` of its settings, which are imported without torch."""
    architecture: str
    """Its place among the architectures that the lectures draw; for the docs."""
    purpose: str
    """What it is good for; for the docs."""
    formats: str
    """The files that it learns from; for the docs."""
    page: str
    """Its page among the docs."""
    help: str
    """What ``elman train`` does with it."""
    files: Files
    """What it learns from."""
    next_step: str
    """What to do with a trained model, ``{folder}`` in place of its folder."""
    samples: tuple[str, ...] = ()
    """The built-in data sets for it."""
    hub: HubFormat | None = None
    """How a data set of the hub is written down for it; None where it reads files only."""
    comparison: Comparison | None = None
    """What ``elman compare`` does with it; None where there is nothing to compare it with."""
    generates: Literal["text", "music", None] = None
    """What ``elman generate`` writes with it; None where it answers to inputs only."""

    @property
    def module(self) -> str:
        """The module of its class."""
        return self.home.partition(":")[0]

    @property
    def class_name(self) -> str:
        """The name of its class."""
        return self.home.partition(":")[2]

    @property
    def model_class(self) -> Any:
        """The class of the user's object."""
        return _named(self.home)

    @property
    def settings_class(self) -> Any:
        """The class of its settings."""
        return _named(self.settings)


def _named(home: str) -> Any:
    """Import what stands in a module under a name: ``module:name``."""
    module, _, name = home.partition(":")
    return getattr(import_module(module), name)


_NETWORKS = "networks: any of --cell, read from both sides with bi in front, alone or as bilstm:LAYERSxUNITS"

TASKS: dict[str, TaskRow] = {
    "lm": TaskRow(
        home="elman.models.language_model:LanguageModel",
        settings="elman.settings.next_token:LanguageModelSettings",
        architecture="many-to-many, shifted by one",
        purpose="text generation",
        formats="any text",
        page="language-model.md",
        help="Train a language model on text: FILE... is read as one text; sample:NAME names a built-in one.",
        files=Files(metavar="FILE...", help="Text files.", most=None, arrange=_as_one_text),
        next_step="Write with it: elman generate {folder} --prompt TEXT",
        samples=("studies", "topics"),
        hub="text",
        comparison=Comparison(
            home="elman.comparison.language_models:compare_language_models",
            models="ngram:5,window:5,rnn,gru,lstm",
            models_help="Which, with commas between: ngram:ORDER, window:TOKENS, and any of --cell, alone or as "
            "lstm:LAYERSxUNITS.",
            help="Train several models on one text, each with the same time, and evaluate them on the same held-out "
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
        hub="columns",
        comparison=Comparison(
            home="elman.comparison.labels:compare_taggers",
            models="majority,frequent,hmm,rnn,bilstm",
            models_help="Which, with commas between: majority, frequent (each word's most frequent tag), hmm, and "
            f"{_NETWORKS}.",
            help="Train several taggers on the same sentences, each with the same time, and evaluate them on the same "
            "others.",
        ),
    ),
    "classifier": TaskRow(
        home="elman.models.classifier:Classifier",
        settings="elman.settings.labelling:ClassifierSettings",
        architecture="many-to-one",
        purpose="sentiment, spam, sensors",
        formats="CSV, TSV, JSON lines, folders, .npz",
        page="classifier.md",
        help="Train a classifier on CSV, TSV, JSONL, a folder of text files, or .npz of numbers; sample:messages is "
        "one.",
        files=Files(metavar="TRAIN", help="Labelled examples; sample:messages is built in."),
        next_step="Classify with it: elman predict {folder} FILE",
        samples=("messages",),
        hub="records",
        comparison=Comparison(
            home="elman.comparison.labels:compare_classifiers",
            models="majority,logreg,logreg2,mlp,mlp2,rnn,bilstm",
            models_help="Which, with commas between: majority; of word counts logreg and mlp (with pairs of words "
            f"logreg2, mlp2); and {_NETWORKS}.",
            help="Train several classifiers on the same texts, each with the same time, and evaluate them on the same "
            "others.",
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
            help="Sources and targets: a file for each, or one with both.",
            most=2,
            arrange=_pairs,
        ),
        next_step="Translate with it: elman predict {folder} FILE",
        samples=("reports",),
        hub="records",
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
            help="The captions, by the names of their pictures.",
            arrange=_captioned_pictures,
            of_pictures=True,
        ),
        next_step="Describe pictures with it: elman predict {folder} PICTURES",
        samples=("shapes", "unseen-shapes"),
    ),
    "composer": TaskRow(
        home="elman.models.composer:Composer",
        settings="elman.settings.next_token:ComposerSettings",
        architecture="many-to-many, shifted by one",
        purpose="music",
        formats="MIDI, ABC",
        page="composer.md",
        help="Train a composer on a folder of MIDI or ABC files; sample:tunes is built in.",
        files=Files(metavar="MIDI_DIR", help="Folder of tunes, or a file of them."),
        next_step="Write music with it: elman generate {folder} --seconds 30 --out tune.mid --wav tune.wav",
        samples=("tunes",),
        generates="music",
    ),
}
