"""The playground as a job and from the command line: what is stored, resumed and printed."""

from dataclasses import replace
from pathlib import Path

import pytest
from command_line import saturation
from store_rows import empty_store, playground_row

from saturation import settings
from saturation.errors import InputError
from saturation.jobs import playground
from saturation.jobs.playground import default_widths, judged, play, run_job
from saturation.measures.playground import Bound, RankedLanguage
from saturation.measures.playground_training import train_width
from saturation.store import Store, queries

LANGUAGE = RankedLanguage(rank=3, vocab_size=64, contexts=64, logit_scale=2.0)
OPTIONS = {"rank": 3, "vocab_size": 64, "contexts": 64, "logit_scale": 2, "widths": [3, 1, 2]}
ARGUMENTS = ("playground", "--rank", 3, "--vocab-size", 64, "--contexts", 64, "--scale", 2)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return empty_store(tmp_path / "store.duckdb")


def test_default_widths_are_powers_of_two_and_those_about_the_rank() -> None:
    assert default_widths(16) == (1, 2, 4, 8, 12, 15, 16, 32)
    assert default_widths(2) == (1, 2, 4)


class TestPlay:
    def test_a_row_holds_what_the_measures_give(self, store: Store) -> None:
        rows = play(store, LANGUAGE, [3, 1, 3])
        assert [row.width for row in rows] == [1, 3]
        assert rows[0].gap == train_width(LANGUAGE.log_probabilities, 1).gap
        assert (rows[0].entropy, rows[0].tail) == (LANGUAGE.entropy, LANGUAGE.tail(1))
        assert rows[0].w_error == LANGUAGE.w_error(1)
        assert (rows[0].rank, rows[0].logit_scale, rows[0].train_steps) == (3, 2.0, 1000)
        frame = queries.playground(store)
        assert frame["width"].tolist() == [1, 3]
        assert frame["gap"].tolist() == [row.gap for row in rows]

    def test_what_was_finished_before_a_run_was_stopped_is_kept(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def stop_at_two(done: int, total: int, message: str) -> None:
            if message.startswith("width 2"):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            play(store, LANGUAGE, [1, 2, 3], stop_at_two)
        assert queries.playground(store)["width"].tolist() == [1]
        trained = []
        real = playground._train
        monkeypatch.setattr(playground, "_train", lambda *given: (trained.append(given[1]), real(*given))[1])
        rows = play(store, LANGUAGE, [1, 2, 3])
        assert trained == [2, 3]
        assert [row.width for row in rows] == [1, 2, 3]
        play(store, LANGUAGE, [1], force=True)
        assert trained == [2, 3, 1]

    def test_another_language_is_trained_anew(self, store: Store) -> None:
        first = play(store, LANGUAGE, [1])
        second = play(store, replace(LANGUAGE, seed=1), [1])
        assert first[0].row_id != second[0].row_id
        assert len(queries.playground(store)) == 2

    def test_progress_counts_widths(self, store: Store) -> None:
        told: list[tuple[int, int, str]] = []
        play(store, LANGUAGE, [1, 2], lambda *given: told.append(given))
        assert told[0] == (0, 2, "width 1")
        assert told[-1] == (2, 2, "done")
        assert (1, 2, "width 2: 50%") in told
        assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)

    @pytest.mark.parametrize("widths", [[], [0, 1], [513]])
    def test_widths_that_cannot_be_trained(self, store: Store, widths: list[int]) -> None:
        with pytest.raises(InputError, match="Widths must be whole numbers from 1 to 512"):
            play(store, LANGUAGE, widths)


class TestJudged:
    rows = tuple(playground_row(width, gap=gap, tail=tail) for width, gap, tail in ((1, 2, 4), (2, 1, 3), (3, 0.3, 1)))

    def test_the_bound_of_the_rows(self) -> None:
        assert judged(self.rows) == Bound(0.5, (1, 2), (2.0, 1.5, 0.5), above=())
        third = 1 / 3
        assert judged(self.rows, fitted_on=(2, 3)) == Bound(third, (2, 3), (4 * third, 1.0, third), above=(1,))

    def test_none_without_two_widths_below_the_rank_and_a_third(self) -> None:
        assert judged(self.rows[:2]) is None
        assert judged((self.rows[0], playground_row(4, tail=0.0), playground_row(8, tail=0.0))) is None


class TestJob:
    def test_options_in_json_are_enough(self, cache: Path) -> None:
        told: list[tuple[int, int, str]] = []
        run_job(settings.load(), OPTIONS, lambda *given: told.append(given))
        store = Store(settings.load().store_path)
        rows = queries.playground(store)
        assert rows.loc[rows["rank"] == 3, "width"].tolist() == [1, 2, 3]
        assert told[-1] == (3, 3, "done")

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            ({"depth": 3}, "knows no 'depth'"),
            ({"rank": 500}, "rank is 500"),
            ({"rank": 3, "widths": [-1]}, "Widths must be"),
        ],
    )
    def test_bad_options(self, cache: Path, options: dict, sentence: str) -> None:
        with pytest.raises(InputError, match=sentence):
            run_job(settings.load(), options, lambda *given: None)


class TestCommand:
    def test_json_and_text_from_the_store(self, cache: Path) -> None:
        found = saturation(*ARGUMENTS, "--json").json
        assert found["language"] == {
            "rank": 3,
            "vocab_size": 64,
            "contexts": 64,
            "zipf_exponent": 1.0,
            "logit_scale": 2.0,
            "seed": 0,
        }
        assert found["entropy"] == pytest.approx(LANGUAGE.entropy)
        assert [row["width"] for row in found["widths"]] == [1, 2, 3, 4, 6]
        assert [row["gap"] < 0.01 for row in found["widths"]] == [False, False, True, True, True]
        assert found["bound"]["fitted_on"] == [1, 2]
        assert found["bound"]["holds"] is True
        assert [row["bound"] for row in found["widths"]] == found["bound"]["values"]
        again = saturation(*ARGUMENTS)
        assert "rank 3: 64 contexts, 64 tokens" in again.stdout
        assert "fitted on the widths 1 and 2 holds at every other width" in again.stdout
        assert again.stdout.count("\n") == 8

    def test_chosen_widths(self, cache: Path) -> None:
        found = saturation(*ARGUMENTS, "--widths", "3,1", "--json").json
        assert [row["width"] for row in found["widths"]] == [1, 3]
        assert found["bound"] is None

    def test_errors(self, cache: Path) -> None:
        assert "rank is 1, but here it must lie between 2 and 32." in saturation("playground", "--rank", 1).sentence
        assert "Widths must be whole numbers" in saturation(*ARGUMENTS, "--widths", "0").sentence
        assert saturation(*ARGUMENTS, "--widths", "one").code == 2
