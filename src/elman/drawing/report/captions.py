"""What the page says of each picture: how to read it, and what it does not show."""

from __future__ import annotations

from typing import NamedTuple


class PictureText(NamedTuple):
    """A picture's title and its two sentences."""

    title: str
    reads: str
    lacks: str


SECTIONS = {
    "network": (
        "The network",
        "One step makes a new state from an input and the state before it. The same weights do it at every step.",
    ),
    "steps": ("Step by step", "What one time step computes, with the numbers of this input."),
    "memory": ("Memory", "What the state keeps, for how long, and how far back training and prediction reach."),
    "bptt": ("Back-propagation through time", "The loss of one step, sent back through the states before it."),
    "units": ("Units", "Single units whose value follows something in the input."),
    "attribution": ("AttributionPlot", "Which inputs decided an output."),
}

CAPTIONS = {
    "recursive": PictureText(
        "With its loop",
        "Follow one step from bottom to top. The state leaves a layer and comes back one step later: the square marked "
        "1 is that delay.",
        "What the weights have learned: a trained network and an untrained one look the same here.",
    ),
    "unrolled": PictureText(
        "Unrolled over this input",
        "One column for each time step. Arrows with the same letter are the same matrix, so columns differ only in "
        "what they read and remember.",
        "The steps that are left out. They are computed in the same way.",
    ),
    "step": PictureText(
        "One time step",
        "Move the slider, or press the arrow keys on it. Bars are the values of single units at that step, fast units "
        "on the left, slow ones on the right. The last column is what the network expects.",
        "Why a unit has its value. What a unit stands for only shows over many steps and texts.",
    ),
    "attention": PictureText(
        "Where the decoder looks",
        "For the chosen output, the stronger the colour, the more of its attention. Below it all outputs, one a row.",
        "What the output depends on: the states looked at hold more than their own token.",
    ),
    "heat": PictureText(
        "All units over time",
        "One row for each unit, one column for each time step. Units that change at every step are at the top, units "
        "that keep their value for long at the bottom. The arrow keys move the cursor.",
        "Which units matter: V may ignore a unit that moves a lot.",
    ),
    "text": PictureText(
        "The input, coloured by one unit",
        "The colour of a token is the value of the chosen unit after it has read that token.",
        "Whether the unit does the same elsewhere. What fits one text may be chance.",
    ),
    "saturation": PictureText(
        "Open and closed gates",
        "One dot for each unit. Far right: its gate is closed (below 0.1) at most steps. High up: it is open (above "
        "0.9) at most steps. An LSTM’s forget gate that stays open, or a GRU’s update gate, keeps what it has.",
        "When a gate opens, and at which token.",
    ),
    "gradients": PictureText(
        "Gradient by lag",
        "How strongly the loss at one step depends on the state k steps before. The scale is logarithmic: a straight "
        "falling line is a gradient that shrinks by the same factor at every step. The band holds the middle half of "
        "the losses.",
        "Whether the network uses what lies far back. A small gradient does not rule it out and a large one does not "
        "prove it; the loss by context measures it.",
    ),
    "context": PictureText(
        "Loss by context",
        "The network reads only the last k tokens before each prediction. Where the line stops falling, it makes no "
        "use of what lies further back.",
        "What a network trained on short contexts would reach: this one has not learned to begin in the middle.",
    ),
    "holding": PictureText(
        "What the last state holds",
        "How far the vector from which the classifier decides moves if one input is taken away, as a share of all "
        "inputs.",
        "Whether the beginning or the end should count more for this input.",
    ),
    "back": PictureText(
        "Arrows back from one loss",
        "The thickness of an arrow is the size of the gradient that arrives at that state. The number below is its "
        "share of the largest.",
        "The direction of the gradient, and the losses of other steps: training adds up all of them.",
    ),
    "scores": PictureText(
        "Units that follow something",
        "For each feature the unit that follows it best: chosen on the first half of the input, scored on the second. "
        "AUC 1 means that its value tells exactly where the feature holds, 0.5 that it tells nothing. Chance is what "
        "the best unit reaches when the feature is shifted against the input; grey rows do not beat it. Choose a unit "
        "to colour the input by it.",
        "Cause. A unit may follow a feature that the network does not use; only a change to the unit tells.",
    ),
    "inputs": PictureText(
        "What each input adds",
        "Orange makes the output more likely, blue less; the stronger the colour, the more. In nats, all inputs add up "
        "to what they change together, compared with an input of zeros.",
        "How inputs work together. Another method may divide the same sum in another way.",
    ),
}
