# SPDX-License-Identifier: Apache-2.0
"""test_agreement.py - the evaluator in C and the slow model in Python say the same of every profile.

Random expressions over random profiles with events (pql_generate.py), and the reference's conformance table. Every expression also goes
text -> JSON -> evaluation, alone and with a hundred others in one program, and with products of arrays cut into
chunks of a few rows. TR_SEED=... replays a run.
"""
import json
import os
import pathlib
import subprocess

import pytest

import pql_generate
import pql_generate_events
import pql_model

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DRIVER = ROOT / os.environ.get("TR_BUILD", "build") / "tests" / "pql" / "pql_eval"
DATA = ROOT / "tests" / "data"


def evaluate(world, expressions, *options):
    """[(mask, tree)] or [(None, error)] of each expression."""
    ran = subprocess.run([DRIVER, world, *options], input="\n".join(expressions) + "\n", capture_output=True, text=True,
                         check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    answers = [line.split("\t", 1) for line in ran.stdout.splitlines()]
    assert len(answers) == len(expressions)
    return [(None, rest) if mask == "error" else (mask, rest) for mask, rest in answers]


def decoded(world):
    schema = world["schema"]
    return [(pql_model.decode(schema["profile"], row["profile"]) or {},
             [pql_model.decode(schema["event"], event) or {} for event in row["events"]]) for row in world["rows"]]


class World:
    def __init__(self, folder, world):
        self.path = folder / "world.json"
        self.path.write_text(json.dumps(world))
        self.rows = decoded(world)
        self.model = pql_model.Model(world["schema"], world["now"])

    def by_model(self, tree):
        test = self.model.compile(json.loads(tree))
        return "".join("01"[test(row)] for row in self.rows)

    def compare(self, expressions, answers):
        """Masks of the model against those of the C code; returns how many were neither refused nor constant."""
        telling = 0
        for text, (mask, tree) in zip(expressions, answers):
            if mask is None:
                continue
            expected = self.by_model(tree)
            if mask != expected:
                row = next(i for i in range(len(mask)) if mask[i] != expected[i])
                pytest.fail(f"{text}\nprofile {row}: {mask[row]}, the model says {expected[row]}\n{tree}")
            telling += len(set(mask)) > 1
        return telling


def seed():
    return int(os.environ.get("TR_SEED", "20240315"), 0)


def agree(folder, expression_count, row_count, start):
    print(f"TR_SEED={start}")
    world = World(folder, pql_generate.world(start, row_count))
    source = pql_generate.Expressions(start + 1)
    expressions = [source.expression() for _ in range(expression_count)]
    answers = evaluate(world.path, expressions)
    refused = [text for text, (mask, _) in zip(expressions, answers) if mask is None]
    assert len(refused) < expression_count * 0.05, refused[:5]
    assert world.compare(expressions, answers) > expression_count * 0.6
    return world, answers


def test_random_expressions_agree_with_the_model(tmp_path):
    agree(tmp_path, 600, 60, seed())


def test_an_expression_is_the_same_as_json_alone_and_in_chunks(tmp_path):
    world, answers = agree(tmp_path, 300, 40, seed() + 100)
    masks, trees = zip(*(answer for answer in answers if answer[0] is not None))
    for options in ((), ("--together", "1"), ("--pairs", "3")):
        assert [mask for mask, _ in evaluate(world.path, trees, *options)] == list(masks), options


@pytest.mark.long
def test_ten_thousand_expressions_agree_on_a_thousand_profiles(tmp_path):
    world, answers = agree(tmp_path, 10000, 1000, seed() + 200)
    masks, trees = zip(*(answer for answer in answers if answer[0] is not None))
    for options in ((), ("--together", "1000"), ("--pairs", "100")):
        assert [mask for mask, _ in evaluate(world.path, trees, *options)] == list(masks), options


def agree_on_events(folder, expression_count, row_count, start, has_gaps):
    """Alone, and with what many expressions have in common worked out once."""
    print(f"TR_SEED={start}")
    world = World(folder, pql_generate_events.world(start, row_count, has_gaps))
    source = pql_generate_events.EventExpressions(start + 1)
    expressions = [source.expression() for _ in range(expression_count)]
    for options in (("--together", "1"), ("--together", "250")):
        answers = evaluate(world.path, expressions, *options)
        refused = [(text, why) for text, (mask, why) in zip(expressions, answers) if mask is None]
        assert len(refused) < expression_count * 0.05, refused[:5]
        if options[1] == "1":
            assert world.compare(expressions, answers) > expression_count * 0.5
            alone = answers
        else:
            assert answers == alone


@pytest.mark.parametrize("has_gaps", [False, True])
def test_sequences_windows_and_counts_of_many_events_agree_with_the_model(tmp_path, has_gaps):
    agree_on_events(tmp_path, 200, 40, seed() + 300, has_gaps)


@pytest.mark.long
@pytest.mark.parametrize("has_gaps", [False, True])
def test_many_more_of_them_agree(tmp_path, has_gaps):
    agree_on_events(tmp_path, 4000, 300, seed() + 400, has_gaps)


ANCHORS = ["now", "today", "last month", "date(2024, 2, 29)"]


def instant_text(ms):
    year, month, day = pql_model.civil(ms)
    rest = ms % pql_model.DAY
    return f"{year:04}-{month:02}-{day:02}T{rest // 3600000:02}:{rest // 60000 % 60:02}:{rest // 1000 % 60:02}.{rest % 1000:03}Z"


def edges():
    """Where every distance below begins and ends, and a millisecond to both sides."""
    now = pql_model.parse_instant(pql_generate.NOW)
    today, month = pql_model.day_of(now), pql_model.calendar(now, "last", "month")
    leap = pql_model.day_of(pql_model.parse_instant("2024-02-29"))
    found = set()
    for at in (now, today.lo, today.hi, month.lo, month.hi, leap.lo, leap.hi):
        for unit in ("hour", "day", "week", "month", "year"):
            for amount in (-3, -1, 0, 1, 3):
                found.update((pql_model.shift(at, amount, unit), pql_model.shift(at + 1, amount, unit) - 1))
    return sorted({edge + more for edge in found for more in (-1, 0, 1)})


def test_every_kind_of_distance_ends_where_the_model_says(tmp_path):
    world = World(tmp_path, {"schema": pql_generate.SCHEMA, "now": pql_generate.NOW,
                             "rows": [{"profile": {"joined": instant_text(ms)}, "events": []} for ms in edges()]})
    relative = [f"joined occurs {comparison} {amount} {unit}s {direction} {anchor}"
                for comparison in ("<", "<=", ">", ">=", "=", "!=") for amount in (0, 1, 3)
                for unit in ("hour", "day", "week", "month", "year") for direction in ("before", "after", "from")
                for anchor in ANCHORS if amount > 0 or unit == "day"]
    plain = [f"joined occurs {word} {anchor}" for word in ("", "on", "before", "after", "from") for anchor in ANCHORS]
    between = [f"joined occurs between {first} and {second}" for first in ANCHORS for second in ANCHORS]
    expressions = relative + plain + between
    answers = evaluate(world.path, expressions)
    assert all(mask is not None for mask, _ in answers)
    assert world.compare(expressions, answers) > len(expressions) * 0.8


def conformance():
    rows = [line.split("\t") for line in (DATA / "pql_conformance.tsv").read_text().splitlines()]
    return [(expected, text) for _, expected, text in rows]


def test_every_row_of_the_conformance_table_survives_text_json_and_evaluation(tmp_path):
    world = World(tmp_path, json.loads((DATA / "pql_conformance.json").read_text()))
    rows = conformance()
    answers = evaluate(world.path, [text for _, text in rows])
    assert len(rows) == 100
    for (expected, text), (mask, tree) in zip(rows, answers):
        assert {"true": "1", "false": "0", "error": None}[expected] == mask, text
        if mask is not None:
            assert world.by_model(tree) == mask, text
    good = [answer for answer in answers if answer[0] is not None]
    again = evaluate(world.path, [tree for _, tree in good])
    assert [mask for mask, _ in again] == [mask for mask, _ in good]
    assert [json.loads(tree) for _, tree in again] == [json.loads(tree) for _, tree in good]
