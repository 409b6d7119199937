"""The report is one complete HTML file, runs only its own script, and has a table behind every picture."""

import base64
import hashlib
import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from tests.drawing.reports import made_up

from elman.drawing.report import StackRun, html
from elman.drawing.report.arrays import pack, time_scales

VOID = {"meta", "input", "br", "link", "img"}


class Page(HTMLParser):
    """The elements of a page in order; fails if a tag is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.content: dict[str, str] = {}
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        where = self._open[-1] if self._open else ""
        if where in ("script", "style"):
            name = f"{where} {self.elements[-1][1].get('type', '')}".strip()
            self.content[name] = self.content.get(name, "") + data
        else:
            self.text += data

    def ids(self) -> list[str]:
        return [attributes["id"] for _, attributes in self.elements if "id" in attributes]

    def data(self):
        return json.loads(self.content["script application/json"])


@pytest.mark.parametrize(
    "reports",
    [
        [made_up()],
        [made_up(cell="rnn", hidden_size=6)],
        [made_up(cell="mingru", num_layers=2)],
        [made_up(cell="gru", directions=2, num_layers=2, crf=True)],
        [made_up(directions=2, pooling="mean")],
        [made_up(kind="pair", directions=2)],
        [made_up(kind="picture")],
        [made_up(cell="rnn", name="a"), made_up(name="b", seed=1)],
    ],
    ids=["lstm", "rnn", "mingru", "tagger", "classifier", "translator", "captioner", "two models"],
)
def test_the_page_is_complete_and_loads_nothing(reports):
    text = html(*reports)
    page = Page(text)
    ids = page.ids()
    assert len(ids) == len(set(ids))
    assert {"network", "steps", "memory", "bptt", "units", "attribution"} <= set(ids)
    for _, attributes in page.elements:
        assert not {"src", "style", "action"} & set(attributes)
        assert not any(name.startswith("on") for name in attributes)
        assert attributes.get("href", "#").startswith("#")
        for name in ("href", "aria-labelledby"):
            if name in attributes:
                assert attributes[name].lstrip("#") in ids
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert "@import" not in text
    assert "url(" not in text


def test_the_policy_allows_the_pages_own_script_and_style_alone():
    page = Page(html(made_up()))
    policy = next(a["content"] for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    for name in ("script", "style"):
        digest = base64.b64encode(hashlib.sha256(page.content[name].encode()).digest()).decode()
        assert rules[f"{name}-src"] == f"'sha256-{digest}'"
    assert rules["default-src"] == "'none'"


def test_text_is_shown_and_never_run():
    attack = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'"
    text = [attack, "and", "<!--", "on"] * 5
    report = replace(made_up(text, name=attack), task=attack, source=attack, notes=[attack], figures={attack: attack})
    page = Page(html(report, replace(report, name="other")))
    assert sum(tag == "script" for tag, _ in page.elements) == 2
    assert not any(tag == "img" for tag, _ in page.elements)
    assert attack in page.text
    assert page.data()[0]["stacks"][0]["tokens"] == text


def test_diagrams_are_well_formed_and_show_the_sizes():
    text = html(made_up(hidden_size=24, num_layers=2, directions=2, crf=True))
    drawings = [ET.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL)]
    assert all(drawing.get("aria-label") for drawing in drawings)
    words = ["".join(element.itertext()) for element in drawings[0].iter("text")]
    assert {"96×16", "96×24", "96×48", "concat: 48"} <= set(words)
    assert words.count("24 units →") == 2
    assert {"W1f", "U1f", "W2b", "U2b", "V"} <= set(words)


def test_only_first_and_last_steps_are_drawn():
    report = made_up(tuple("abcdefghij"))
    svg = re.findall(r"<svg.*?</svg>", html(report), re.DOTALL)[1]
    words = ["".join(element.itertext()) for element in ET.fromstring(svg).iter("text")]
    assert [word for word in words if re.fullmatch("h[0-9]+", word)] == ["h0", "h1", "h2", "h3", "h9", "h10"]
    assert "5 more" in words


def test_every_picture_has_a_caption_and_a_table():
    page = Page(html(made_up(pooling="last")))
    figures = sum(tag == "figure" for tag, _ in page.elements)
    assert figures == 12
    assert page.text.count("How to read it") == figures
    assert page.text.count("What it does not show") == figures
    assert page.text.count("As a table") == figures - 1  # the units are shown as a table already


@pytest.mark.parametrize("is_exact", [True, False])
def test_arrays_survive_a_round_trip(is_exact):
    values = np.random.default_rng(0).normal(size=(7, 5))
    stored = pack(values, is_exact=is_exact)
    numbers = np.frombuffer(base64.b64decode(stored["data"]), {"f4": "<f4", "i1": "i1"}[stored["type"]])
    found = numbers.reshape(stored["rows"], stored["columns"]) * stored["scale"]
    step = np.abs(values).max() / 127
    np.testing.assert_allclose(found, values, atol=1e-6 if is_exact else 0.5001 * step)  # float32; half a step


def test_values_that_are_not_finite_become_zero():
    assert pack(np.array([[np.nan, np.inf, 1.0]]), is_exact=False)["data"] == base64.b64encode(b"\0\0\x7f").decode()


def test_time_scales_of_units_that_forget_at_a_known_rate():
    random = np.random.default_rng(0)
    rates = np.array([0.5, 0.9, 0.98])
    states = np.zeros((60_000, 3))
    for step in range(1, len(states)):
        states[step] = rates * states[step - 1] + random.normal(size=3)
    expected = -1 / np.log(rates)  # the autocorrelation of such a unit is rate ** lag
    # The tolerance covers the estimate from 60,000 steps, and linear interpolation between lags.
    np.testing.assert_allclose(time_scales(states), expected, rtol=0.15)


def test_a_unit_that_never_changes_is_the_slowest():
    states = np.stack([np.ones(50), np.arange(50) % 2], axis=1)
    slow, fast = time_scales(states)
    assert slow == 50
    assert fast < 1


def test_500_steps_of_two_large_layers_take_less_than_5_megabytes():
    report = made_up(tuple("abcdefghij" * 50), hidden_size=384, num_layers=2)
    assert len(html(report).encode()) < 5_000_000


def test_units_are_left_out_if_there_are_too_many_values(monkeypatch):
    report = made_up(hidden_size=20)
    monkeypatch.setattr("elman.drawing.report.page.MOST_VALUES", 88 * 20 * 6 // 2)
    layer = Page(html(report)).data()[0]["stacks"][0]["layers"][0]
    assert layer["size"] == 20
    assert len(layer["units"]) == layer["parts"]["hidden"]["columns"] == 10
    scales = [layer["scales"][place] for place in layer["order"]]
    assert scales == sorted(scales)


def test_sections_without_data_are_left_out():
    report = replace(made_up(), runs={}, outputs=None, gradients=None, context=None, units=(), attributions=())
    ids = Page(html(report)).ids()
    assert "network" in ids
    assert not {"steps", "memory", "bptt", "units", "attribution"} & set(ids)


def test_an_empty_and_a_single_token_are_shown():
    report = made_up(("", "x"))
    one = replace(report, outputs=None, runs={"rnn": StackRun(tokens=[""], layers=report.runs["rnn"].layers)})
    assert Page(html(report)).data()[0]["stacks"][0]["tokens"] == ["", "x"]
    assert "∅" in html(one)


def test_a_notebook_shows_the_page_in_a_sandboxed_frame():
    report = made_up()
    ((tag, attributes),) = Page(report._repr_html_()).elements
    assert tag == "iframe"
    assert attributes["sandbox"] == "allow-scripts"
    assert attributes["srcdoc"] == html(report)


def test_the_page_first_shows_the_unit_furthest_above_chance():
    report = made_up()  # quotes score 0.97, chance 0.61; position scores 0.88, chance 0.2
    assert Page(html(report)).data()[0]["firstUnit"] == [0, False, "hidden", 7]
    gate = replace(report.units[1], part="forget", unit=5, bound=0.1)
    assert Page(html(replace(report, units=(*report.units, gate)))).data()[0]["firstUnit"] == [0, False, "hidden", 7]
    by_chance = [replace(unit, bound=0.99) for unit in report.units]
    assert Page(html(replace(report, units=by_chance))).data()[0]["firstUnit"] is None
