"""The step axis, the colours and the numbers' forms that all figures share."""

import math
from itertools import pairwise

import numpy as np
import pytest

from saturation.figures import DARK, LIGHT, labels, parts, steps, theme


def test_linear_places_are_steps_and_log_places_leave_room_for_step_zero():
    assert steps.positions([0, 512, 1000]).tolist() == [0, 512, 1000]
    assert steps.positions([0, 9, 99], "log").tolist() == [0, 1, 2]


def test_an_unknown_scale_is_named():
    with pytest.raises(ValueError, match="'cubic'"):
        steps.positions([0], "cubic")


def test_cells_meet_halfway_between_checkpoints_of_unequal_distance():
    assert steps.edges([0, 2, 10]).tolist() == [-1, 1, 6, 14]


def test_one_checkpoint_has_a_cell_of_width_one():
    assert steps.edges([5]).tolist() == [4.5, 5.5]


@pytest.mark.parametrize(
    ("last", "scale", "places", "text"),
    [
        (143_000, "linear", [0, 25000, 50000, 75000, 100000, 125000], ["0", "25k", "50k", "75k", "100k", "125k"]),
        (12, "linear", [0, 2, 4, 6, 8, 10, 12], ["0", "2", "4", "6", "8", "10", "12"]),
        (1, "linear", [0, 1], ["0", "1"]),
        (
            4000,
            "log",
            [0, math.log10(2), math.log10(11), math.log10(101), math.log10(1001)],
            ["0", "1", "10", "100", "1k"],
        ),
    ],
)
def test_ticks(last, scale, places, text):
    values, shown = steps.ticks(last, scale)
    assert values == pytest.approx(places)
    assert shown == text


def test_axis_holds_the_outer_cells():
    axis = steps.axis([0, 10, 20])
    low, high = axis["range"]
    assert low < -5
    assert high > 25
    assert axis["title"]["text"] == "training step"


@pytest.mark.parametrize(("wanted", "found"), [(0, 0), (3, 2), (5, 4), (600, 1000), (10**9, 1000)])
def test_nearest_step(wanted, found):
    assert steps.nearest([0, 2, 4, 1000], wanted) == found


def test_no_step_to_choose_from():
    with pytest.raises(ValueError, match="no step"):
        steps.nearest([], 3)


def test_smaller_models_take_the_darker_end_of_plasma_within_the_theme():
    styles = theme.line_styles({"big": 1e9, "small": 1e6, "middle": math.sqrt(1e15)}, LIGHT)
    low, high = (theme.sample_colorscale("plasma", [edge])[0] for edge in LIGHT.plasma)
    middle = theme.sample_colorscale("plasma", [sum(LIGHT.plasma) / 2])[0]
    assert (styles["small"]["color"], styles["big"]["color"]) == (low, high)
    assert styles["middle"]["color"] == middle


def test_a_model_keeps_its_colour_when_others_leave_the_figure():
    span = (1e6, 1e9)
    together = theme.line_styles({"a": 1e6, "b": 1e8, "c": 1e9}, DARK, span)
    assert theme.line_styles({"b": 1e8}, DARK, span)["b"] == together["b"]


def test_models_of_one_size_differ_in_dash():
    styles = theme.line_styles({"seed1": 1e6, "seed2": 1e6, "big": 1e9}, LIGHT)
    assert styles["seed1"]["color"] == styles["seed2"]["color"]
    assert [styles[name]["dash"] for name in ("seed1", "seed2", "big")] == ["solid", "dash", "solid"]


def test_no_two_of_ten_runs_share_colour_and_dash():
    sizes = {f"run{place}": 4e4 + 10 * (place % 2) for place in range(10)}
    styles = theme.line_styles(sizes, LIGHT)
    assert len({(style["color"], style["dash"]) for style in styles.values()}) == 10
    dashes = [style["dash"] for style in styles.values()]
    assert all(one != other for one, other in pairwise(dashes))
    backwards = dict(reversed(sizes.items()))
    assert theme.line_styles(backwards, LIGHT) == styles


def test_models_of_nearly_one_colour_differ_in_dash():
    styles = theme.line_styles({"1b": 1e9, "1.4b": 1.4e9, "70m": 7e7, "12b": 1.2e10}, LIGHT)
    assert [styles[name]["dash"] for name in ("70m", "1b", "1.4b", "12b")] == ["solid", "solid", "dash", "solid"]


def _luminance(colour: str) -> float:
    channels = [int(value) for value in colour[4:-1].split(",")] if colour.startswith("rgb") else None
    channels = channels or [int(colour[index : index + 2], 16) for index in (1, 3, 5)]
    linear = [c / 255 / 12.92 if c / 255 <= 0.03928 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def contrast(first: str, second: str) -> float:
    low, high = sorted((_luminance(first), _luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("look", [LIGHT, DARK], ids=lambda look: look.name)
def test_lines_and_text_are_legible_on_their_background(look):
    sizes = {str(power): 10.0**power for power in range(6, 12)}
    lines = [style["color"] for style in theme.line_styles(sizes, look).values()]
    assert min(contrast(colour, look.background) for colour in lines) > 2.5
    own = (look.loss, look.anisotropy, look.spectrum)
    assert min(contrast(colour, look.background) for colour in own) > 4.5
    assert contrast(look.text, look.background) > 12
    assert contrast(look.muted, look.background) > 5


def test_template_fixes_every_colour_that_streamlit_would_replace():
    layout = theme.template(DARK).layout
    assert layout.paper_bgcolor == layout.plot_bgcolor == DARK.background
    assert layout.font.color == DARK.text
    assert DARK.loss in layout.colorway


@pytest.mark.parametrize(
    ("value", "text"), [(812, "812"), (16_800, "16.8k"), (14_067_712, "14.1M"), (162_322_944, "162M"), (6.9e9, "6.9B")]
)
def test_counts(value, text):
    assert labels.count(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(5.1544, "5.15"), (0.02346, "0.0235"), (243.2, "243"), (0, "0.00"), (float("nan"), "–"), (3e-5, "3.00e-05")],
)
def test_numbers(value, text):
    assert labels.number(value) == text


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([0.2, 5.0], ["0.2", "0.5", "1", "2", "5"]),
        ([0.0235, 0.182], ["0.03", "0.04", "0.05", "0.07", "0.1", "0.15"]),
        ([1e-8, 1.0], ["10<sup>-8</sup>", "10<sup>-6</sup>", "10<sup>-4</sup>", "0.01", "1"]),
        ([float("nan"), -1.0], ["1"]),
    ],
)
def test_log_ticks(values, text):
    assert parts.log_ticks(values)[1] == text


def test_log_ticks_of_a_narrow_range_are_even_and_at_least_three():
    ticks, _ = parts.log_ticks([0.31, 0.36])
    assert len([tick for tick in ticks if 0.3 <= tick <= 0.38]) >= 3
    assert np.allclose(np.diff(ticks), ticks[1] - ticks[0])


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (labels.signed(-0.02, 3), "\N{MINUS SIGN}0.020"),
        (labels.signed(0.104, 3), "+0.104"),
        (labels.signed(-0.004, 2), "0.00"),
        (labels.signed(0.004, 2), "0.00"),
        (labels.fixed(-0.0051, 3), "\N{MINUS SIGN}0.005"),
        (labels.cosine(-0.0001), "0.000"),
        (labels.number(-0.0251), "\N{MINUS SIGN}0.0251"),
        (labels.percent(0.133), "13.3 %"),
        (labels.percent(0.0012), "0.12 %"),
        (labels.percent(-0.02), "\N{MINUS SIGN}2.0 %"),
        (labels.percent(float("nan")), "–"),
    ],
)
def test_signs_are_those_of_the_axes(written: str, text: str) -> None:
    assert written == text
