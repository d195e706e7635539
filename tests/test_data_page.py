"""The Data page without a browser: what is held, what each mode offers, and foreign words shown as they are."""

import zipfile
from io import BytesIO
from pathlib import Path

import dashboard_store
import numpy as np
import pandas as pd
import pytest
import result_files
import store_rows
from streamlit.testing.v1 import AppTest

from saturation.jobs.evaluations import import_results
from saturation.settings import ROOT
from saturation.store import Store, queries
from saturation.ui import holdings
from saturation.ui.words import plain


@pytest.fixture
def filled(cache: Path) -> Store:
    return dashboard_store.fill(cache / "measurements.duckdb")


def opened(**address: str) -> AppTest:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    for key, value in address.items():
        app.query_params[key] = value
    return app.switch_page("pages/8_Data.py").run()


def answer(app: AppTest) -> pd.DataFrame:
    """The result of a query: what is kept on disk comes after it, where it is shown."""
    return [element.value for element in app.dataframe if "kind" not in element.value][-1]


def labels(elements: object) -> list[str]:
    return [element.label for element in elements]


def test_held_joins_what_was_measured_and_what_was_evaluated() -> None:
    measured = pd.DataFrame(
        {
            "family": ["pythia", "pythia", "local"],
            "model": ["70m", "14m", "run~1"],
            "parameters": [70e6, 14e6, np.nan],
            "checkpoints": [3, 2, 1],
            "first_step": [10, 0, 5],
            "last_step": [30, 9, 5],
        }
    )
    evaluated = pd.DataFrame(
        {
            "family": ["pythia", "pythia"],
            "model": ["70m", "410m"],
            "tasks": [4, 5],
            "steps": [6, 7],
            "first_step": [0, 1],
            "last_step": [20, 2],
        }
    )
    rows = holdings.held(measured, evaluated)
    assert rows.to_dict("list") == {
        "family": ["pythia", "pythia", "pythia", "local"],
        "model": ["14m", "70m", "410m", "run~1"],
        "parameters": [14e6, 70e6, 405_334_016, pytest.approx(np.nan, nan_ok=True)],
        "measured": [2, 3, 0, 1],
        "evaluated": [0, 6, 7, 0],
        "tasks": [0, 4, 5, 0],
        "first_step": [0, 0, 1, 5],
        "last_step": [9, 30, 2, 5],
    }


def test_held_by_an_empty_store(tmp_path: Path) -> None:
    store = store_rows.empty_store(tmp_path / "measurements.duckdb")
    from saturation.store import queries

    assert holdings.held(queries.models(store), queries.evaluated(store)).empty


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("70m", "70m"),
        ("<b>a</b>", r"\<b\>a\<\/b\>"),
        ("**a** $b$", r"\*\*a\*\* \$b\$"),
        ("[l](x) :red[y]", r"\[l\]\(x\) \:red\[y\]"),
        ("a\n# b\u202e\x00", r"a \# b□□"),
        ("back\\slash `code`", r"back\\slash \`code\`"),
    ],
)
def test_foreign_words_are_shown_as_they_are(text: str, shown: str) -> None:
    assert plain(text).replace(r"\/", "/") == shown.replace(r"\/", "/")


def test_the_table_and_the_pack_of_the_selected_model(filled: Store, tmp_path: Path) -> None:
    import_results(filled, [result_files.write(tmp_path / "step3000.json", result_files.old())])
    app = opened(family="pythia", model="70m")
    assert not app.exception
    table = app.dataframe[0].value.set_index("model")
    assert table.loc["pythia/14m"].tolist() == ["14.1M", 15, 0, 0, "0–10,000"]
    assert table.loc["pythia/70m"].tolist() == ["70.4M", 0, 1, 2, "3,000"]
    assert app.multiselect[0].value == ["pythia/70m"]


def test_a_pack_holds_the_chosen_models_only(filled: Store) -> None:
    with zipfile.ZipFile(BytesIO(holdings.pack(["pythia/14m"]))) as archive:
        rows = pd.read_parquet(BytesIO(archive.read("checkpoints.parquet")))
    assert set(rows["model"]) == {"14m"}
    assert len(rows) == len(dashboard_store.STEPS)


def test_a_pack_takes_corpora_and_the_playground_along(filled: Store, tmp_path: Path) -> None:
    dashboard_store.empty_bottleneck(filled)
    assert "With the n-gram matrices" not in " ".join(labels(opened().checkbox))
    dashboard_store.fill_bottleneck(filled)
    assert "With the n-gram matrices" in " ".join(labels(opened().checkbox))
    taken = tmp_path / "taken.pack.zip"
    taken.write_bytes(holdings.pack([], bottleneck=True))
    other = Store(tmp_path / "other" / "measurements.duckdb", bundled=tmp_path)
    other.ensure()
    assert len(queries.ngrams(other)) == 2
    assert len(queries.playground(other)) == 4


def test_a_folder_is_imported_and_the_report_stays(filled: Store, tmp_path: Path) -> None:
    result_files.write(tmp_path / "r" / "70m_step3000.json", result_files.old())
    result_files.write(tmp_path / "r" / "<b>.json", "x")
    app = opened(family="pythia", model="70m")
    app.text_input(key="import-path").set_value(str(tmp_path / "r"))
    app.button[0].click().run()
    for _ in range(2):
        assert not app.exception
        text = [element.value for element in app.markdown]
        assert "**4 results of 1 file** :green-badge[:material/check: imported]" in text
        assert any(r"\<b\>\.json** – It is no JSON, or is damaged\." in line for line in text)
        assert app.dataframe[0].value.iloc[0].tolist() == ["pythia/70m", 1, "3,000", 2, 4]
        assert "pythia/70m" in list(app.dataframe[1].value["model"])
        app.multiselect[0].set_value([]).run()
    next(button for button in app.button if button.label == "Dismiss").click().run()
    assert len(app.dataframe) == 3  # what is held, the columns of a table, what is kept on disk


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("import-path", "", "Choose files first\\."),
        ("import-path", "/nowhere", "Nothing was imported"),
        ("import-model", "pythia/71m", "There is no model '71m' in pythia"),
    ],
)
def test_what_cannot_be_imported_is_said(filled: Store, tmp_path: Path, field: str, value: str, said: str) -> None:
    app = opened(family="pythia", model="70m")
    if field == "import-model":
        app.text_input(key="import-path").set_value(str(tmp_path))
    app.text_input(key=field).set_value(value)
    app.button[0].click().run()
    assert not app.exception
    text = " ".join(element.value for element in [*app.error, *app.markdown])
    assert said in text


def test_a_demonstration_takes_nothing_in(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SATURATION_MODE", "demo")
    app = opened(family="pythia", model="14m")
    assert not app.exception
    assert any("read-only" in info.value for info in app.info)
    assert (labels(app.button), labels(app.text_input), len(app.get("file_uploader"))) == (["Run"], [], 0)


def test_only_a_local_server_reads_folders(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Or a folder or file on this machine" in labels(opened().text_input)
    monkeypatch.setenv("SATURATION_MODE", "public")
    app = opened()
    assert labels(app.text_input) == ["Model, where the files do not tell it"]
    assert len(app.get("file_uploader")) == 1


def test_a_query_is_answered_and_an_error_is_said(filled: Store) -> None:
    app = opened(family="pythia", model="14m")
    app.selectbox(key="sql-example").select("Singular entropy along a run").run()
    assert "model = '14m'" in app.text_area(key="sql").value
    run = next(button for button in app.button if button.label == "Run")
    run.click().run()
    assert not app.exception
    assert any(f"**{len(dashboard_store.STEPS)} rows** in" in element.value for element in app.markdown)
    assert len(answer(app)) == len(dashboard_store.STEPS)
    assert len(app.get("download_button")) == 4
    app.text_area(key="sql").set_value("SELECT <b>x</b>")
    next(button for button in app.button if button.label == "Run").click().run()
    assert [error.value for error in app.error] == [r'The query has an error\: syntax error at or near "\<"\.']


def test_a_hosted_server_shows_no_folders(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    filled.add([store_rows.spectrum(), store_rows.spectrum(store_rows.checkpoint("mine", family="lab"))])
    shown = {}
    for mode in ("local", "demo"):
        monkeypatch.setenv("SATURATION_MODE", mode)
        app = opened()
        app.text_area(key="sql").set_value(
            "SELECT source FROM checkpoints WHERE source LIKE '%1' AND hidden_size = 2 ORDER BY family"
        )
        next(button for button in app.button if button.label == "Run").click().run()
        shown[mode] = answer(app)["source"].tolist()
    assert shown == {"local": ["/somewhere/mine/1", "/somewhere/run~1/1"], "demo": ["1"]}
