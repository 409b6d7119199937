"""Generated short reports, each with a one-line summary.

A report sets a scene, then tells the facts in random order with an irrelevant remark among them; the summary says who,
what and how much. The first sentence is never a good summary, because the facts come later, among irrelevant numbers.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from elman.data.samples.lot import draw_below, pick, shuffle

_TOWNS = (
    "Ashby",
    "Brenholm",
    "Calder",
    "Dunmore",
    "Elsworth",
    "Farrow",
    "Glenby",
    "Holm",
    "Ivel",
    "Kirkby",
    "Lund",
    "Marl",
)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_NAMES = (
    "Aldous",
    "Bell",
    "Cole",
    "Drake",
    "Ellis",
    "Frost",
    "Grant",
    "Hale",
    "Irwin",
    "Kane",
    "Lowe",
    "Marsh",
    "Noble",
)
_NUMBERS = ("nil", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")

Story = tuple[list[str], list[str], str]  # the openings, the facts, the summary


def write_reports(number: int = 1_500) -> str:
    r"""Return a header and lines of `report<TAB>summary`.

    Example:
        >>> write_reports(1).splitlines()[0].split("\t")
        ['source', 'target']
    """
    generator = random.Random(1990)
    lines = ["source\ttarget"]
    seen: set[str] = set()
    while len(lines) <= number:
        opening, facts, summary = pick(_KINDS, generator)(generator)
        body = shuffle([*facts, pick(_ASIDES, generator)], generator)
        report = " ".join([pick(opening, generator), *body])
        if report not in seen:
            seen.add(report)
            lines.append(f"{report}\t{summary}")
    return "\n".join(lines) + "\n"


def _report_match(generator: random.Random) -> Story:
    home, away = _pick_two(_TOWNS, generator)
    ours, theirs = draw_below(6, generator), draw_below(6, generator)
    scorer = pick(_NAMES, generator)
    minute = 10 + draw_below(75, generator)
    if ours == theirs:
        result = f"{home} and {away} drew {_NUMBERS[ours]} all"
    else:
        winner, loser = (home, away) if ours > theirs else (away, home)
        high, low = max(ours, theirs), min(ours, theirs)
        result = f"{winner} beat {loser} by {_NUMBERS[high]} to {_NUMBERS[low]}"
    score = f"When the whistle went, {home} had {_NUMBERS[ours]} goals and {away} had {_NUMBERS[theirs]}."
    other = f"The final score was {_NUMBERS[ours]} for {home}, {_NUMBERS[theirs]} for {away}."
    return (
        [
            f"A crowd of {100 + draw_below(900, generator)} came to see {home} play at home.",
            f"The sides of {home} and {away} met for the second time this year.",
            f"It was a cold evening for football in {home}.",
        ],
        [
            pick((score, other), generator),
            f"{scorer} was shown a card after {minute} minutes.",
        ],
        f"{result}.",
    )


def _report_weather(generator: random.Random) -> Story:
    town, day = pick(_TOWNS, generator), pick(_DAYS, generator)
    kind, verb = pick(
        (("rain", "fell"), ("snow", "fell"), ("wind", "blew"), ("fog", "lay"), ("frost", "lay")), generator
    )
    low = draw_below(10, generator)
    high = low + 3 + draw_below(9, generator)
    return (
        [
            f"The people of {town} had been promised a mild week.",
            f"The weather station at {town} has kept records for {20 + draw_below(80, generator)} years.",
            f"Few in {town} had taken a coat on {day}.",
        ],
        [
            f"All through {day} {kind} {verb} over the town.",
            pick(
                (f"It grew no warmer than {high} degrees.", f"The highest reading of the day was {high} degrees."),
                generator,
            ),
            f"In the hills there were {low} degrees at dawn.",
        ],
        f"{day} brought {kind} to {town}, with {high} degrees at most.",
    )


def _report_road(generator: random.Random) -> Story:
    first, second = _pick_two(_TOWNS, generator)
    what, closed = pick(
        (
            ("a lorry lost its load of gravel", "gravel"),
            ("a tree came down in the storm", "a fallen tree"),
            ("a water main burst", "a burst main"),
            ("two cars had run into each other", "a crash"),
            ("a herd of cows had broken out", "stray cows"),
        ),
        generator,
    )
    hours = 2 + draw_below(8, generator)
    hurt = draw_below(4, generator)
    people = "nobody was" if hurt == 0 else "one person was" if hurt == 1 else f"{_NUMBERS[hurt]} people were"
    return (
        [
            f"Drivers between {first} and {second} needed patience.",
            f"The police in {first} were called out at {1 + draw_below(12, generator)} o'clock.",
            f"The road to {second} is usually a quiet one.",
        ],
        [
            pick((f"Near the bridge {what}.", f"On the road from {first} to {second} {what}."), generator),
            f"It took {_NUMBERS[hours]} hours until cars could pass again.",
            f"{_capitalise(people)} hurt.",
        ],
        f"{_capitalise(closed)} closed the road from {first} to {second} for {_NUMBERS[hours]} hours; {people} hurt.",
    )


def _report_shop(generator: random.Random) -> Story:
    owner, town = pick(_NAMES, generator), pick(_TOWNS, generator)
    trade = pick(("bakery", "bookshop", "hardware shop", "tea room", "bicycle shop", "toy shop"), generator)
    is_opening = generator.random() < 0.5
    years, day = 5 + draw_below(50, generator), pick(_DAYS, generator)
    jobs = 2 + draw_below(10, generator)
    news = (
        f"On {day} the doors of a new {trade} opened under the name of {owner}."
        if is_opening
        else f"On {day} the {trade} of {owner} sold its last goods and shut its doors."
    )
    return (
        [
            f"The high street of {town} is changing.",
            f"There was a queue in {town} before the sun was up.",
            f"Neighbours in {town} had talked of little else for weeks.",
        ],
        [
            news,
            f"The house had stood there for {years} years.",
            f"{_capitalise(_NUMBERS[jobs])} people have {'found' if is_opening else 'lost'} work by it.",
        ],
        f"A {trade} opened in {town}; {_NUMBERS[jobs]} jobs came."
        if is_opening
        else f"A {trade} closed in {town}; {_NUMBERS[jobs]} jobs went.",
    )


def _report_council(generator: random.Random) -> Story:
    town, speaker = pick(_TOWNS, generator), pick(_NAMES, generator)
    plan = pick(_PLANS, generator)
    yes, no = 4 + draw_below(9, generator), 4 + draw_below(9, generator)
    no += yes == no
    word = "accepted" if yes > no else "rejected"
    return (
        [
            f"The council of {town} sat until late on {pick(_DAYS, generator)}.",
            f"Every seat in the town hall of {town} was taken.",
            f"The mayor of {town} had asked for a quiet meeting.",
        ],
        [
            f"The question was whether the town should pay for {plan}.",
            f"{yes} hands went up for it and {no} against it.",
            f"Councillor {speaker} spoke for {10 + draw_below(50, generator)} minutes.",
        ],
        f"{town} {word} {plan} by {max(yes, no)} votes to {min(yes, no)}.",
    )


_KINDS: tuple[Callable[[random.Random], Story], ...] = (
    _report_match,
    _report_weather,
    _report_road,
    _report_shop,
    _report_council,
)

_PLANS = (
    *("a new library", "a swimming pool", "street lamps that go out at midnight"),
    *("a bus to the coast", "a skating rink", "trees along the river"),
)
_ASIDES = (
    "Tea was served afterwards.",
    "A dog barked through most of it.",
    "There will be more about this next week.",
    "Nobody could remember anything like it.",
    "A photograph hangs in the library.",
    "The church bells rang at noon, as they always do.",
    "Some had brought their children.",
    "The trains ran on time.",
)


def _capitalise(text: str) -> str:
    return text[0].upper() + text[1:]


def _pick_two(items: tuple[str, ...], generator: random.Random) -> tuple[str, str]:
    first = draw_below(len(items), generator)
    second = (first + 1 + draw_below(len(items) - 1, generator)) % len(items)
    return items[first], items[second]
