"""The titles and captions of the page: for each picture, how to read it and what it does not show."""

from __future__ import annotations

from typing import NamedTuple


class PictureText(NamedTuple):
    """The title and the caption of a picture."""

    title: str
    reads: str
    """How to read it."""
    lacks: str
    """What it does not show."""


SECTIONS = {
    "network": (
        "The network",
        "Each step computes a new state from an input and the previous state, with the same weights at every step.",
    ),
    "steps": ("Step by step", "What one time step computes, with the values for this input."),
    "memory": ("Memory", "What the state stores, for how long, and how far back training and prediction reach."),
    "bptt": (
        "Backpropagation through time",
        "The gradient of the loss at one step with respect to the states before it.",
    ),
    "units": ("Units", "Single units whose value follows a feature of the input."),
    "attribution": ("Attribution", "How much each input contributes to an output."),
}
"""The title and the first sentence of each section."""

CAPTIONS = {
    "recursive": PictureText(
        "The network with its loop",
        "Read one step from bottom to top. The state of each layer feeds back into it one step later; the square "
        "marked 1 is this delay.",
        "What the weights have learned: a trained and an untrained network look the same here.",
    ),
    "unrolled": PictureText(
        "Unrolled over this input",
        "One column per time step. Arrows with the same letter are the same matrix, so columns differ only in their "
        "inputs and states.",
        "The steps that are left out. They are computed in the same way.",
    ),
    "step": PictureText(
        "One time step",
        "Move the slider, or press the arrow keys on it. The bars are the values of the units at this step, sorted "
        "from fast units on the left to slow units on the right. The last column shows the most likely outputs.",
        "Why a unit has its value. What a unit represents only shows over many steps and texts.",
    ),
    "attention": PictureText(
        "Attention of the decoder",
        "For the chosen output, the stronger the colour, the larger the attention weight. Below, one row for each "
        "output.",
        "What the output depends on: a state that is attended to also carries information about other positions.",
    ),
    "heat": PictureText(
        "All units over time",
        "One row per unit, one column per time step. Units that change at every step are at the top, units that keep "
        "their value for many steps at the bottom. The arrow keys move the cursor.",
        "Which units matter: V may ignore a unit that varies a lot.",
    ),
    "text": PictureText(
        "The input, coloured by one unit",
        "The colour of a token is the value of the chosen unit after reading that token.",
        "Whether the unit behaves the same on other inputs. A match on one input may be chance.",
    ),
    "saturation": PictureText(
        "Open and closed gates",
        "Dots are units; where many share a place, the dot is larger. At the far right, a gate is closed (below 0.1) "
        "at most steps; at the top, it is open (above 0.9) at most steps. A unit keeps its value while the forget gate "
        "of an LSTM, or the update gate of a GRU, is open.",
        "When a gate opens, and at which token.",
    ),
    "gradients": PictureText(
        "Gradient by lag",
        "The size of the gradient of the loss at one step with respect to the state k steps earlier. The scale is "
        "logarithmic: on a straight falling line, the gradient shrinks by the same factor at every step. The band is "
        "the interquartile range over the losses.",
        "Whether the network uses distant inputs. A small gradient does not rule it out and a large one does not prove "
        "it; the loss by context measures it.",
    ),
    "context": PictureText(
        "Loss by context",
        "The network reads only the last k tokens before each prediction. Where the line becomes flat, more context "
        "does not help the network. The dashed line, if there is one, is an n-gram model with the same context.",
        "What a network trained on short contexts would reach: this one has not learned to start in the middle of a "
        "sequence.",
    ),
    "holding": PictureText(
        "What the last state holds",
        "How far the last state moves when one input is replaced by zeros, as a share of the sum over all inputs.",
        "Whether the beginning or the end should count more for this input.",
    ),
    "back": PictureText(
        "Gradients back from one loss",
        "The thickness of an arrow is the size of the gradient that reaches that state. The number below is its size "
        "relative to the largest.",
        "The direction of the gradient, and the losses at other steps: training sums the gradients of all of them.",
    ),
    "scores": PictureText(
        "Units that follow a feature",
        "For each feature, the unit that follows it best: chosen on the first half of the input, scored on the second. "
        "An AUC of 1 means that the unit separates the steps where the feature holds from all others; 0.5 is no better "
        "than guessing. The chance level is the score of the best unit when the feature is shifted against the input; "
        "rows in grey do not exceed it. The last column is the change of the loss when the unit is set to "
        "zero, with its 95 % bootstrap interval, and how many of some random other units of the layer change it at "
        "least as much. Choose a unit to colour the input by it.",
        "What a unit is for. Where setting it to zero changes nothing, the network does not need it, however well it "
        "follows the feature; others may do the same work.",
    ),
    "inputs": PictureText(
        "What each input adds",
        "Orange makes the output more likely, blue less likely; the stronger the colour, the larger the contribution. "
        "Contributions are in nats and sum to the change that all inputs make together, compared with a baseline of "
        "zeros.",
        "How inputs interact. Another method may divide the same sum differently.",
    ),
}
"""The captions by the name of the picture."""
