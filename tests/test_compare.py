"""Runs on one axis: where their checkpoints lie, their differences, and the figures of both."""

from pathlib import Path

import dashboard_store
import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from saturation.figures import DARK, compare_panels, difference_map, theme
from saturation.figures.compare import run_sizes
from saturation.jobs import compare
from saturation.settings import ROOT
from saturation.ui.compare import said_of_texts, shared_end


def trajectory() -> pd.DataFrame:
    """pythia/70m and a run of no known batch; the loss of the first falls by 1 a thousand steps, of the other by 2."""
    rows = []
    for family, model, size, slope in (("pythia", "70m", 7e7, 1.0), ("local", "mine", 1e6, 2.0)):
        rows += [
            {"family": family, "model": model, "step": step, "parameters": size, "revision": f"step{step}"}
            | {"hidden_size": 512, "vocab_size": 50_304, "doubtful": None, "nats_per_token": 9 - slope * step / 1000}
            | {"anisotropy": 0.1, "singular_entropy": 0.2, "text_id": "t", "text_name": "text", "tokens": 100}
            for step in ((0, 1000, 2000) if family == "pythia" else (0, 500, 1500))
        ]
    return pd.DataFrame(rows)


class TestAligned:
    @pytest.mark.parametrize(
        ("align", "pythia", "local"),
        [
            ("step", [0, 1000, 2000], [0, 500, 1500]),
            ("tokens", [0, 1000 * 2_097_152, 2000 * 2_097_152], [np.nan] * 3),
            ("flops", [0, 6 * 7e7 * 1000 * 2_097_152, 6 * 7e7 * 2000 * 2_097_152], [np.nan] * 3),
            ("fraction", [0, 0.5, 1], [0, 1 / 3, 1]),
        ],
    )
    def test_where_a_checkpoint_lies(self, align: str, pythia: list[float], local: list[float]) -> None:
        rows = compare.aligned(trajectory(), align)
        np.testing.assert_allclose(rows.loc[rows["run"] == "pythia/70m", "x"], pythia)
        np.testing.assert_allclose(rows.loc[rows["run"] == "local/mine", "x"], local)
        assert compare.without_place(rows) == (["local/mine"] if align in ("tokens", "flops") else [])

    def test_a_run_of_one_checkpoint_lies_at_the_start(self) -> None:
        one = trajectory().iloc[:1]
        assert compare.aligned(one, "fraction")["x"].tolist() == [0.0]

    def test_another_alignment(self) -> None:
        with pytest.raises(ValueError, match="aligned by step, tokens, flops, fraction"):
            compare.aligned(trajectory(), "epochs")


class TestDifferences:
    def test_at_the_same_place_and_where_both_have_values(self) -> None:
        rows = compare.aligned(trajectory(), "step")
        found = compare.differences(rows, "nats_per_token", "pythia/70m")
        assert found[["run", "x"]].values.tolist() == [["local/mine", 0], ["local/mine", 500], ["local/mine", 1500]]
        np.testing.assert_allclose(found["difference"], [0, -0.5, -1.5])  # the base is read between its checkpoints
        other = compare.differences(rows, "nats_per_token", "local/mine")
        np.testing.assert_allclose(other["difference"], [0, 1.0])  # step 2000 lies beyond the base's last

    def test_doubtful_checkpoints_are_left_out(self) -> None:
        rows = compare.aligned(trajectory(), "step")
        rows.loc[rows["step"] == 500, "doubtful"] = "repeats another"
        assert compare.differences(rows, "nats_per_token", "pythia/70m")["x"].tolist() == [0, 1500]

    def test_all_measures_less_those_of_one_run(self) -> None:
        rows = compare.less(compare.aligned(trajectory(), "step"), "pythia/70m")
        assert set(rows["run"]) == {"local/mine"}
        np.testing.assert_allclose(rows["nats_per_token"], [0, -0.5, -1.5])
        np.testing.assert_allclose(rows["anisotropy"], 0, atol=1e-12)

    def test_losses_of_another_text_have_no_difference(self) -> None:
        rows = compare.aligned(trajectory(), "step")
        assert compare.other_texts(rows, "pythia/70m") == []
        for column, value in (("text_id", "other"), ("tokens", 99)):
            apart = rows.assign(**{column: rows[column].mask(rows["run"] == "local/mine", value)})
            assert compare.other_texts(apart, "pythia/70m") == ["local/mine"]
            found = compare.less(apart, "pythia/70m")
            assert found["nats_per_token"].isna().all()
            np.testing.assert_allclose(found["anisotropy"], 0, atol=1e-12)

    def test_a_base_without_values(self) -> None:
        rows = compare.aligned(trajectory(), "tokens")
        assert compare.differences(rows, "nats_per_token", "local/mine").empty

    def test_by_depth(self) -> None:
        layers = pd.DataFrame(
            [
                {"run": run, "x": x, "depth": depth, "anisotropy": scale * depth + x, "doubtful": None}
                for run, scale, places in (("a", 1.0, (0.0, 0.5, 1.0)), ("b", 0.5, (0.0, 1.0)))
                for x in places
                for depth in (0.0, 0.25, 1.0)
            ]
        )
        table = compare.depth_difference(layers, "a", "b", "anisotropy", depths=3)
        assert table.columns.tolist() == [0.0, 0.5, 1.0]
        np.testing.assert_allclose(table.to_numpy(), np.outer([0.0, 0.25, 0.5], [1, 1, 1]), atol=1e-12)
        assert compare.depth_difference(layers, "a", "c", "anisotropy").empty


class TestFigures:
    def test_a_panel_a_measure_and_a_line_a_run(self) -> None:
        figure = compare_panels(compare.aligned(trajectory(), "fraction"), "fraction", theme=DARK)
        assert [trace.yaxis for trace in figure.data] == ["y", "y", "y2", "y2", "y3", "y3"]
        assert figure.layout.yaxis.domain[0] > figure.layout.yaxis2.domain[1]
        assert figure.layout.xaxis.title.text == "fraction of training"
        styles = theme.line_styles({"pythia/70m": 7e7, "local/mine": 1e6}, DARK)
        colours = {trace.legendgroup: trace.line.color for trace in figure.data}
        assert colours == {run: style["color"] for run, style in styles.items()}
        assert sum(trace.showlegend for trace in figure.data) == 2

    def test_a_run_looks_the_same_in_values_and_differences(self) -> None:
        rows = compare.aligned(pd.concat([trajectory(), trajectory().assign(model="m3", parameters=7e7)]), "step")
        sizes = run_sizes(rows)
        values = compare_panels(rows, sizes=sizes)
        less = compare_panels(compare.less(rows, "pythia/70m"), difference="pythia/70m", sizes=sizes)
        looks = [{trace.legendgroup: trace.line for trace in figure.data} for figure in (values, less)]
        assert set(looks[1]) == set(sizes) - {"pythia/70m"}
        assert all(looks[0][run] == look for run, look in looks[1].items())

    def test_a_run_without_a_loss_is_in_the_legend(self) -> None:
        rows = compare.aligned(trajectory(), "step")
        rows["nats_per_token"] = rows["nats_per_token"].mask(rows["run"] == "local/mine")
        shown = [trace.legendgroup for trace in compare_panels(rows).data if trace.showlegend]
        assert sorted(shown) == ["local/mine", "pythia/70m"]

    def test_the_loss_axis_shows_the_end_of_training(self) -> None:
        rows = compare.aligned(trajectory(), "step")
        low, high = compare_panels(rows).layout.yaxis.range
        assert low < rows["nats_per_token"].min() < high < 9
        assert compare_panels(compare.less(rows, "pythia/70m"), difference="pythia/70m").layout.yaxis.range is None

    def test_a_log_axis_leaves_out_what_has_no_place_on_it(self) -> None:
        figure = compare_panels(compare.aligned(trajectory(), "step"), log_x=True)
        assert figure.layout.xaxis.type == "log"
        assert all(min(trace.x) > 0 for trace in figure.data)

    def test_runs_without_a_place(self) -> None:
        rows = compare.aligned(trajectory(), "tokens")
        figure = compare_panels(rows[rows["run"] == "local/mine"], "tokens")
        assert "None of these runs has values" in figure.layout.annotations[0].text

    def test_the_map_is_even_about_zero(self) -> None:
        table = pd.DataFrame([[0.0, 0.2], [-0.4, 0.1]], index=[0.0, 1.0], columns=[0.0, 1.0])
        cells = difference_map(table, "a", "b").data[0]
        np.testing.assert_allclose(cells.z, table)
        assert (cells.zmin, cells.zmax) == pytest.approx((-0.4, 0.4))
        log = difference_map(table, "a", "b", log_x=True)
        assert log.layout.xaxis.type == "log"
        assert log.data[0].z.shape == (2, 1)
        assert "no stretch" in difference_map(pd.DataFrame(), "a", "b").layout.annotations[0].text


class TestPage:
    @pytest.fixture(autouse=True)
    def _store(self, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SATURATION_MODE", raising=False)
        dashboard_store.fill(cache / "measurements.duckdb")

    @staticmethod
    def opened(**address: str) -> AppTest:
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
        for key, value in ({"family": "pythia", "model": "14m"} | address).items():
            app.query_params[key] = value
        app.switch_page("pages/5_Compare.py").run()
        assert not app.exception
        assert not app.error
        return app

    def test_the_runs_of_a_link_from_two_families(self) -> None:
        app = self.opened(runs="lab/w8,pythia/14m", align="fraction", less="differences")
        assert app.multiselect[0].value == ["lab/w8", "pythia/14m"]
        assert len(app.get("plotly_chart")) == 2

    def test_runs_of_different_texts_are_named(self) -> None:
        rows = compare.aligned(trajectory(), "step")
        said = said_of_texts(rows, "pythia/70m", ["local/mine"], True).replace("\\", "")
        assert said == (
            "Losses of local/mine (text, 100 tokens) are of another text than that of pythia/70m (text, 100 tokens), "
            "so they have no place in the loss difference."
        )
        assert shared_end(rows, "local/mine", "step") == " Differences end where it ends, at step 1,500."
        assert shared_end(rows, "pythia/70m", "step") == ""

    def test_the_models_of_the_family_where_the_link_names_none(self) -> None:
        assert self.opened().multiselect[0].value == ["pythia/14m", "pythia/31m"]

    def test_an_unknown_run_is_named(self) -> None:
        app = self.opened(runs="pythia/14m,pythia/31m,other/run")
        assert "Nothing is measured of other/run" in app.warning[0].value.replace("\\", "")
        assert app.multiselect[0].value == ["pythia/14m", "pythia/31m"]

    def test_one_run_is_nothing_to_compare(self) -> None:
        app = self.opened(runs="pythia/14m")
        assert any("at least two" in info.value for info in app.info)
