"""The scaling law: recovered from points on it, honest about noise, refused where it cannot be fitted."""

import math

import numpy as np
import pandas as pd
import pytest

from saturation.errors import InputError
from saturation.families import registry
from saturation.jobs import scaling
from saturation.measures.scaling import Law, fit, flops

# The paper's setting: figure 1b of arXiv 2404.07647.
PAPER = Law(a=119.09, alpha=0.246)
TOKENS = 143_000 * 2_097_152
SIZES = {name: float(model.parameters) for name, model in registry.family("pythia").models.items()}
LARGE = np.array([size for name, size in SIZES.items() if name not in ("14m", "31m", "70m", "160m")])


def paper_curve(**columns) -> pd.DataFrame:
    """Three checkpoints a model: small ones are 4 % above the law at their best and 8 % at the end, others on it."""
    rows = []
    for name, size in SIZES.items():
        for step, above, below in ((72_000, 0.5, 0.5), (100_000, 0.0, 0.04), (143_000, 0.0, 0.08)):
            tokens = step * 2_097_152.0
            excess = below if size < 4e8 else above
            rows.append((name, step, size, tokens, float(PAPER.loss(size, tokens)) * (1 + excess)))
    frame = pd.DataFrame(rows, columns=["model", "step", "parameters", "trained_tokens", "value"])
    return frame.assign(**{"family": "pythia", "floor": np.nan, "doubtful": None} | columns)


class TestLaw:
    def test_by_hand(self):
        # 10/100^0.5 + 8/16^0.25 + 1.5 = 1 + 4 + 1.5
        law = Law(a=10, alpha=0.5, b=8, beta=0.25, e=1.5)
        assert law.loss(100, 16) == pytest.approx(6.5)
        assert law.distance(100, 16, [7.8, 6.5, 5.2]) == pytest.approx([0.2, 0, -0.2])

    def test_compute_is_six_operations_a_weight_and_token(self):
        assert flops([10, 20], 100).tolist() == [6000, 12_000]

    def test_points_on_the_law_are_recovered(self):
        law = fit(LARGE, np.full(len(LARGE), TOKENS), PAPER.loss(LARGE, TOKENS))
        assert (law.a, law.alpha) == pytest.approx((119.09, 0.246), rel=1e-9)
        assert law.distance(LARGE, TOKENS, PAPER.loss(LARGE, TOKENS)) == pytest.approx(np.zeros(len(LARGE)), abs=1e-12)

    def test_kept_terms_are_kept(self):
        truth = Law(a=50, alpha=0.3, b=100, beta=0.35, e=0.5)
        law = fit([1e5, 1e6, 1e7], [1e8, 2e8, 4e8], truth.loss([1e5, 1e6, 1e7], [1e8, 2e8, 4e8]), 100, 0.35, 0.5)
        assert (law.a, law.alpha, law.b, law.beta, law.e) == pytest.approx((50, 0.3, 100, 0.35, 0.5))

    def test_relative_residuals_are_at_their_least(self):
        size, loss = np.array([1e6, 1e7, 1e8, 1e9]), np.array([6.0, 4.6, 3.9, 3.2])
        law = fit(size, np.full(4, 1e10), loss)

        def squares(a: float, alpha: float) -> float:
            return float((((a / size**alpha + 410.7 / 1e10**0.28 + 1.69) / loss - 1) ** 2).sum())

        least = squares(law.a, law.alpha)
        assert all(
            squares(law.a * (1 + shift), law.alpha + turn) > least
            for shift in (-1e-3, 0, 1e-3)
            for turn in (-1e-4, 0, 1e-4)
            if shift or turn
        )

    def test_losses_in_another_unit_scale_the_law(self):
        size, tokens = [1e6, 1e7, 1e8], [1e10] * 3
        nats = np.array([6.0, 4.6, 3.9])
        law, bits = (
            fit(size, tokens, nats),
            fit(size, tokens, nats / math.log(2), 410.7 / math.log(2), 0.28, 1.69 / math.log(2)),
        )
        assert (bits.a, bits.alpha) == pytest.approx((law.a / math.log(2), law.alpha))
        assert bits.alpha_error == pytest.approx(law.alpha_error, rel=1e-6)

    def test_two_models_are_met_without_uncertainty(self):
        law = fit([1e8, 1e9], [TOKENS, TOKENS], [3.4, 2.7])
        assert law.loss([1e8, 1e9], TOKENS) == pytest.approx([3.4, 2.7])
        assert (law.a_interval(), law.alpha_interval(), law.band(1e9, TOKENS)) == (None, None, None)

    def test_uncertainty_is_that_of_a_straight_line_where_only_the_size_matters(self):
        """With B = E = 0 and small noise the fit is a line through log-log points, whose errors are textbook ones."""
        size = np.array([1e6, 1e7, 1e8, 1e9])
        noise = np.array([1e-4, -2e-4, 2e-4, -1e-4])
        law = fit(size, np.ones(4), 50 * size**-0.3 * np.exp(noise), 0, 0.3, 0)
        x = np.log(size)
        slope, level = np.polyfit(x, np.log(50) - 0.3 * x + noise, 1)
        rest = (np.log(50) - 0.3 * x + noise) - (slope * x + level)
        error = math.sqrt((rest**2).sum() / 2 / ((x - x.mean()) ** 2).sum())
        assert law.alpha == pytest.approx(-slope, rel=1e-6)
        assert law.alpha_error == pytest.approx(error, rel=1e-3)
        low, high = law.alpha_interval()
        assert (high - low) / 2 == pytest.approx(4.302653 * error, rel=1e-3)  # Student's t, 2 degrees, 97.5 %

    def test_intervals_and_band_cover_the_truth_as_often_as_they_say(self):
        random, draws = np.random.default_rng(0), 1000
        exact, tokens = PAPER.loss(LARGE, TOKENS), np.full(len(LARGE), TOKENS)
        covered = np.zeros(3)
        for _ in range(draws):
            law = fit(LARGE, tokens, exact * (1 + random.normal(0, 0.01, len(LARGE))))
            ends = (law.a_interval(), law.alpha_interval(), law.band(3e8, TOKENS))
            truths = (PAPER.a, PAPER.alpha, PAPER.loss(3e8, TOKENS))
            covered += [low <= truth <= high for (low, high), truth in zip(ends, truths, strict=True)]
        assert covered / draws == pytest.approx([0.95] * 3, abs=0.025)

    @pytest.mark.parametrize(
        ("size", "loss", "said"),
        [
            ([1e9], [3.0], "at least two sizes; here there is 1"),
            ([1e9, 1e9], [3.0, 2.9], "at least two sizes; here there is 1"),
            ([1e8, 1e9], [3.0, 1.7], "the size of big, whose loss is not above it: lower B or E"),
            ([1e8, 1e9], [3.0, float("nan")], "positive, finite"),
            ([1e8, 1e9], [3.0], "as many parameter and token counts"),
        ],
    )
    def test_what_cannot_be_fitted_is_said(self, size, loss, said):
        with pytest.raises(InputError, match=said):
            fit(size, [TOKENS] * len(size), loss, names=["small", "big"][: len(size)])


class TestPaper:
    def test_figure_1b(self):
        points = scaling.scaling_points(paper_curve())
        fit_from = scaling.smallest_fitted(points)
        law = scaling.fit_law(points, fit_from)
        assert fit_from == 410e6
        assert (law.a, law.alpha, law.models) == (pytest.approx(119.09), pytest.approx(0.246), 6)
        found = scaling.distances(points, law)
        small = found[found["parameters"] < 4e8]
        assert small["final_distance"].tolist() == pytest.approx([0.08] * 4)
        assert small["best_distance"].tolist() == pytest.approx([0.04] * 4)
        words = scaling.in_words(found, fit_from, "410M")
        assert words.startswith("Models below 410M end 8.0 % above the law, 4.0 % at their best.")
        assert words.endswith("Models of 410M and more end on the law, on it at their best.")

    def test_minima_read_off_figure_1a_lie_near_the_papers_law(self):
        """Readings of a plot against A and alpha as published, at all 143,000 steps: 3.5 to 9.5 % above."""
        minima = [4.40, 3.95, 3.57, 3.20, 2.95]
        above = PAPER.distance([SIZES[name] for name in ("14m", "31m", "70m", "160m", "410m")], TOKENS, minima)
        assert above == pytest.approx([0.095, 0.080, 0.069, 0.039, 0.035], abs=0.001)


class TestPoints:
    def test_best_and_final_by_hand(self):
        curve = pd.DataFrame(
            {
                "family": "lab",
                "model": "w8",
                "step": [1, 2, 3, 4],
                "parameters": 100.0,
                "trained_tokens": [10.0, 20.0, 30.0, 40.0],
                "value": [5.0, 1.0, 4.0, 4.5],
                "floor": np.nan,
                "doubtful": [None, "same weights as step 1", None, None],
            }
        )
        row = scaling.scaling_points(curve).iloc[0]
        assert (row["best_step"], row["best_loss"], row["best_tokens"], row["best_flops"]) == (3, 4.0, 30.0, 18_000.0)
        assert (row["final_step"], row["final_loss"], row["final_flops"]) == (4, 4.5, 24_000.0)

    def test_models_without_tokens_or_size_are_left_out_and_named(self):
        curve = paper_curve()
        curve.loc[curve["model"] == "70m", "trained_tokens"] = np.nan
        curve.loc[curve["model"] == "1b", "parameters"] = np.nan
        assert scaling.left_out(curve) == ["70m", "1b"]
        assert scaling.scaling_points(curve)["model"].tolist() == [n for n in SIZES if n not in ("70m", "1b")]

    def test_nothing_usable_is_an_empty_table(self):
        points = scaling.scaling_points(paper_curve(trained_tokens=np.nan))
        assert len(points) == 0
        assert list(points) == list(scaling.scaling_points(paper_curve()))

    @pytest.mark.parametrize(
        ("sizes", "smallest"),
        [
            ([1e6, 2e6, 3e6, 4e6], 2e6),  # three at least
            ([1e6, 2e6, 3e6, 4e6, 5e6, 6e6, 7e6], 4e6),  # the larger half
            ([1e6, 2e6], 1e6),
            ([1e8, 405e6, 1e9], 410e6),  # the paper's, under its name
            ([1e8, 2e8, 1e9], 1e8),
        ],
    )
    def test_smallest_size_in_the_fit(self, sizes, smallest):
        assert scaling.smallest_fitted(pd.DataFrame({"parameters": sizes})) == smallest

    def test_a_text_of_known_entropy_sets_e_and_leaves_b_out(self):
        assert scaling.kept_terms(paper_curve(floor=2.5)) == scaling.Kept(b=0.0, beta=0.28, e=2.5, exact=True)
        assert scaling.kept_terms(paper_curve()) == scaling.Kept(410.7, 0.28, 1.69)

    def test_too_few_models_in_the_fit_say_what_to_do(self):
        points = scaling.scaling_points(paper_curve())
        with pytest.raises(InputError, match=r"at least two models in the fit, and 1 of these .* lower the"):
            scaling.fit_law(points, 1.1e10)

    def test_curves_pass_through_the_models_own_tokens(self):
        points = scaling.scaling_points(paper_curve())
        drawn = scaling.law_curves(points, PAPER)
        for which in ("best", "final"):
            ends = drawn[drawn["which"] == which].iloc[[0, -1]]
            outer = points.iloc[[0, -1]]
            assert ends["tokens"].tolist() == pytest.approx(outer[f"{which}_tokens"].tolist())
            assert ends["flops"].tolist() == pytest.approx(outer[f"{which}_flops"].tolist())
            assert ends["loss"].tolist() == pytest.approx(PAPER.loss(outer["parameters"], outer[f"{which}_tokens"]))
        assert drawn["low"].isna().all()

    def test_words_name_the_side_of_each_distance(self):
        found = pd.DataFrame({"parameters": [1.0, 9.0], "final_distance": [0.012, -0.02], "best_distance": [-0.001, 0]})
        assert scaling.in_words(found, 5, "5") == (
            "Models below 5 end 1.2 % above the law, 0.1 % below it at their best. "
            "Models of 5 and more end 2.0 % below the law, on it at their best."
        )
