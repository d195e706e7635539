"""Table 1 of the paper for any model: every evaluated task at the best checkpoint and at the last."""

import numpy as np
import pandas as pd

# First what the paper's table shows, in its order.
PAPER_TASKS = ("lambada", "storycloze", "wikitext", "sciq", "arc_easy")
# Tasks of many parts, by what the names of the parts begin with.
PARTED = ("hendrycksTest", "mmlu", "crows_pairs", "blimp")
SIGMAS = 2.0  # combined standard errors beyond which a change is no noise of the examples drawn
COLUMNS = [
    *("group", "task", "metric", "shots", "higher_is_better"),
    *("best_step", "best", "best_stderr", "final_step", "final", "final_stderr"),
    *("change", "direction", "beyond_noise"),
]


def best_and_final(evaluations: pd.DataFrame, best_step: int) -> pd.DataFrame:
    """One row per task, metric and shots of one model: its value near `best_step` and at the last evaluated step.

    evaluations: rows of `queries.evaluations` of one model; doubtful checkpoints are left out.
    best_step, final_step: the evaluated steps that the values are of, the first the nearest to the one asked (the
    earlier of two). change: final against best, relative and signed. direction: `worse`, `better`, `same`, or `unknown`
    where no one states what is better. beyond_noise: whether the change exceeds two combined standard errors of the
    harness; None without them. group: the task that a sub-task is part of, else empty.
    Sub-tasks come last; before them the paper's tasks in its order, then what lost most.
    """
    sure = evaluations[evaluations["doubtful"].isna() & evaluations["value"].notna()]
    rows = []
    for (task, metric, _), group in sure.groupby(["task", "metric", "shots"], sort=False):
        steps = group.sort_values("step", ignore_index=True)
        best = steps.iloc[int((steps["step"] - best_step).abs().argmin())]
        final = steps.iloc[-1]
        stated = steps["higher_is_better"].dropna()
        up = bool(stated.iloc[-1]) if len(stated) else None
        rows.append(
            {
                "group": _group(str(task)),
                "task": task,
                "metric": metric,
                "shots": int(steps["shots"].iloc[0]),
                "higher_is_better": up,
            }
            | {f"best_{name}".removesuffix("_value"): best[name] for name in ("step", "value", "stderr")}
            | {f"final_{name}".removesuffix("_value"): final[name] for name in ("step", "value", "stderr")}
            | _change(best, final, up)
        )
    return _ordered(pd.DataFrame(rows, columns=COLUMNS))


def _change(best: "pd.Series[float]", final: "pd.Series[float]", higher_is_better: bool | None) -> dict[str, object]:
    difference = float(final["value"] - best["value"])
    noise = float(np.hypot(best["stderr"], final["stderr"]))
    worse = None if higher_is_better is None else (difference < 0) == higher_is_better
    return {
        "change": difference / abs(float(best["value"])) if best["value"] else float("nan"),
        "direction": "same" if difference == 0 else "unknown" if worse is None else "worse" if worse else "better",
        "beyond_noise": None if np.isnan(noise) else abs(difference) > SIGMAS * noise,
    }


def _group(task: str) -> str:
    return next((name for name in PARTED if task.startswith((f"{name}-", f"{name}_"))), "")


def _ordered(table: pd.DataFrame) -> pd.DataFrame:
    def paper(task: str) -> int:
        return next((place for place, name in enumerate(PAPER_TASKS) if task.startswith(name)), len(PAPER_TASKS))

    places = table["task"].map(paper).where(table["group"] == "", len(PAPER_TASKS))
    lost = table["change"].abs() * table["direction"].map({"worse": 1.0, "better": -1.0}).fillna(0.0)
    shown = places < len(PAPER_TASKS)
    keys = pd.DataFrame(
        {
            "group": table["group"],
            "place": places,
            "named": table["task"].where(shown, ""),  # metrics of one paper task stay together,
            "metric": ~table["metric"].str.contains("perplexity") & shown,  # the perplexity first
            "lost": -lost.fillna(0.0).mask(shown, 0.0),
            "task": table["task"],
            "of": table["metric"],
        }
    )
    return table.loc[keys.sort_values(list(keys.columns), kind="stable").index].reset_index(drop=True)
