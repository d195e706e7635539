"""What pages read: queries cached by the store's signature, so that a page sees what a worker wrote."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from typing import Any

import pandas as pd
import streamlit as st

from saturation import settings as configuration
from saturation.errors import DamagedStoreError, SaturationError
from saturation.families import registry
from saturation.families.model import Checkpoint
from saturation.figures import coloured_table
from saturation.jobs import catalogue, hosting, widths
from saturation.jobs import metrics as performance
from saturation.jobs.memory import Sizes
from saturation.jobs.metrics import Metric
from saturation.settings import Settings
from saturation.store import Store, queries
from saturation.ui import provenance as sources
from saturation.ui.memory import kept
from saturation.ui.words import sentence

ALL = "All runs"  # the group of every model


_stores: dict[Path, Store] = {}


@st.cache_resource(show_spinner="Opening the measurements …")
def _opened(path: Path) -> Store:
    store = Store(path)
    store.ensure()
    _stores[path] = store
    return store


def settings() -> Settings:
    """The settings in force for this server, and for this visitor of it."""
    session = st.session_state.setdefault("_session", secrets.token_hex(16))
    return replace(configuration.load(), session=session)


def said(error: object) -> str:
    """An error as markdown that shows it as it is; a hosted server keeps its paths to itself."""
    return sentence(hosting.said(settings(), str(error)))


def store() -> Store:
    """The store, created and filled from the bundled packs by the first call of the process."""
    path = configuration.load().store_path
    opened = _stores.get(path) or _opened(path)
    if not opened.path.exists():
        opened.ensure()
    return opened


# Callers get a shallow copy, and pandas copies what one of them changes.
@kept(128)
def _query(name: str, path: str, signature: tuple[int, ...], arguments: tuple[Any, ...]) -> pd.DataFrame:
    return getattr(queries, name)(store(), *arguments)


def _ask(name: str, *arguments: Any) -> pd.DataFrame:
    opened = store()
    try:
        return _query(name, str(opened.path), opened.signature(), arguments).copy(deep=False)
    except DamagedStoreError:  # it has been replaced meanwhile, and the page says so
        return _query(name, str(opened.path), opened.signature(), arguments).copy(deep=False)


def _of(name: str, family: str, models: tuple[str, ...] | None) -> pd.DataFrame:
    """The rows of these models: a family is asked for once, whichever of its models a page shows."""
    if models is None:
        return _ask(name, family)
    opened = store()
    return _chosen(name, str(opened.path), opened.signature(), family, models).copy(deep=False)


@kept(64)
def _chosen(name: str, path: str, signature: tuple[int, ...], family: str, models: tuple[str, ...]) -> pd.DataFrame:
    rows = _ask(name, family)
    return rows[rows["model"].isin(models)].reset_index(drop=True)


def measured_models() -> pd.DataFrame:
    return _shown(_ask("models"))


def evaluated_models() -> pd.DataFrame:
    return _shown(_ask("evaluated"))


def _shown(rows: pd.DataFrame) -> pd.DataFrame:
    """Those rows whose models this server shows (`jobs.hosting.shown`)."""
    here = settings()
    if here.mode == "local":
        return rows
    names = zip(rows["family"], rows["model"], strict=True)
    return rows[pd.Series([hosting.shown(here, *name) for name in names], index=rows.index, dtype="bool")]


def trajectory(family: str, models: tuple[str, ...] | None = None) -> pd.DataFrame:
    return _of("trajectory", family, models)


def spectra(family: str, model: str) -> pd.DataFrame:
    return _ask("spectra", family, model)


def begin_spectra(family: str, model: str) -> None:
    """Have the spectra read beside what the page does first: the database takes long, and needs no Python for it.

    What goes wrong is told to whoever asks for them.
    """
    store()  # open, if it was not: a thread of its own cannot say that it is being opened

    def read() -> None:
        with suppress(Exception):
            spectra(family, model)

    Thread(target=read, name="spectra", daemon=True).start()


def layer_anisotropy(family: str, models: tuple[str, ...] | None = None) -> pd.DataFrame:
    return _of("layer_anisotropy", family, models)


def last_layers() -> pd.DataFrame:
    """Anisotropy by layer of every measured model of every family, each at its last checkpoint."""
    opened = store()
    return _shown(_last_layers(str(opened.path), opened.signature(), settings().mode).copy(deep=False))


@kept(4)
def _last_layers(path: str, signature: tuple[int, ...], mode: str) -> pd.DataFrame:
    found = [queries.layer_anisotropy(store(), family) for family in measured_models()["family"].unique()]
    sure = [rows[rows["doubtful"].isna()] for rows in found]
    last = [rows[rows["step"] == rows.groupby("model")["step"].transform("max")] for rows in sure if len(rows)]
    return pd.concat(last, ignore_index=True) if last else pd.DataFrame(columns=["family", "model"])


def alignment(family: str, models: tuple[str, ...]) -> pd.DataFrame:
    return _of("alignment", family, models)


def truncated_heads(family: str, models: tuple[str, ...]) -> pd.DataFrame:
    return _of("truncated_heads", family, models)


def trained_heads(family: str, models: tuple[str, ...]) -> pd.DataFrame:
    return _of("trained_heads", family, models)


def ngrams() -> pd.DataFrame:
    return _ask("ngrams")


def corpora() -> pd.DataFrame:
    """The n-gram curves with a label for a reader (`jobs.widths.named`)."""
    opened = store()
    return _corpora(str(opened.path), opened.signature()).copy(deep=False)


@kept(4)
def _corpora(path: str, signature: tuple[int, ...]) -> pd.DataFrame:
    return widths.named(ngrams())


@dataclass(frozen=True)
class Wide:
    """What corpora ask for: rows of the widths by corpus, that of the largest vocabulary, what a larger one does."""

    table: pd.DataFrame
    largest: "pd.Series[Any]"
    growth: list[str]


def wide(names: tuple[str, ...], error: float) -> Wide:
    """The widths that corpora of these labels ask for at a W-error (`jobs.widths`)."""
    opened = store()
    return _wide(str(opened.path), opened.signature(), names, error)


@kept(64)
def _wide(path: str, signature: tuple[int, ...], names: tuple[str, ...], error: float) -> Wide:
    curves = corpora()
    curves = curves[curves["label"].isin(names)]
    table = widths.calculator(curves, error)
    largest = int(curves["vocabulary"].to_numpy().argmax())
    return Wide(table, table.iloc[largest], widths.growth(curves, error))


def playground() -> pd.DataFrame:
    return _ask("playground")


def top_tokens(family: str, model: str, step: int) -> pd.DataFrame:
    return _ask("top_tokens", family, model, step)


def checkpoints(family: str, model: str) -> pd.DataFrame:
    """Every known step of a model, where its weights are and what is measured of it (`jobs.catalogue`)."""
    opened = store()
    known = tuple(catalogue.weights(settings(), opened, family, model).items())
    return _checkpoints(str(opened.path), opened.signature(), family, model, known).copy(deep=False)


@kept(16)
def _checkpoints(
    path: str, signature: tuple[int, ...], family: str, model: str, known: tuple[tuple[int, Checkpoint], ...]
) -> pd.DataFrame:
    return catalogue.table(store(), family, model, dict(known), provenance(family, (model,)))


def sizes(family: str, model: str) -> Sizes | None:
    """What decides the cost of measuring a model (`jobs.catalogue`)."""
    return catalogue.sizes(store(), family, model, _ask("models"))


def costs() -> pd.DataFrame:
    return _ask("costs")


def provenance(family: str, models: tuple[str, ...]) -> pd.DataFrame:
    return _of("provenance", family, models)


def drawn_from(family: str, measures: tuple[str, ...], models: tuple[str, ...]) -> str:
    """The line under a figure of measurements (`ui.provenance.line`)."""
    opened = store()
    return _drawn_from(str(opened.path), opened.signature(), family, measures, models)


@kept(128)
def _drawn_from(
    path: str, signature: tuple[int, ...], family: str, measures: tuple[str, ...], models: tuple[str, ...]
) -> str:
    return sources.line(provenance(family, models), measures, models)


def metric_drawn_from(family: str, name: str, models: tuple[str, ...]) -> str:
    """The line under a figure of a metric, measured here or imported (`ui.provenance.of_metric`)."""
    opened = store()
    return _metric_drawn_from(str(opened.path), opened.signature(), family, metric(family, name).name, models)


@kept(64)
def _metric_drawn_from(path: str, signature: tuple[int, ...], family: str, name: str, models: tuple[str, ...]) -> str:
    return sources.of_metric(provenance(family, models), evaluations(family, models), name, models)


def families() -> dict[str, list[str]]:
    """Model names of each family that can be chosen, smallest first; families with measurements first."""
    opened = store()
    return _families(str(opened.path), opened.signature(), settings().mode)


@kept(8)
def _families(path: str, signature: tuple[int, ...], mode: str) -> dict[str, list[str]]:
    held = measured_models()
    evaluated = evaluated_models()
    listed: dict[str, list[str]] = {}
    for name, family in registry.families().items():
        known = held[held["family"] == name]
        counts = {key: model.parameters or model.hidden_size or 0 for key, model in family.models.items()}
        counts |= dict.fromkeys(set(evaluated.loc[evaluated["family"] == name, "model"]) - set(counts), 0)
        counts |= dict(zip(known["model"], known["parameters"].fillna(0), strict=True))
        if counts:
            listed[name] = sorted(counts, key=lambda key: (counts[key], key))
    full = {*held.loc[held["measured"] > 0, "family"], *evaluated["family"]}
    return dict(sorted(listed.items(), key=lambda item: item[0] not in full))


def steps(family: str, model: str) -> list[int]:
    """The steps at which anything of a model is measured or evaluated."""
    opened = store()
    return list(_steps(str(opened.path), opened.signature(), family, model))


@kept(256)
def _steps(path: str, signature: tuple[int, ...], family: str, model: str) -> list[int]:
    rows = trajectory(family, (model,))
    values = rows[["singular_entropy", "anisotropy", "nats_per_token"]].notna().any(axis=1)
    return sorted({*rows.loc[values, "step"].astype(int), *evaluations(family, (model,))["step"].astype(int)})


def groups(family: str) -> dict[str, list[str]]:
    """Models of a family that can be chosen by the title of their group, and last all of them; {} without groups."""
    known = families()[family]
    titled = {
        title: [name for name in names if name in known] for title, names in registry.family(family).groups.items()
    }
    return {title: names for title, names in titled.items() if names} | ({ALL: known} if titled else {})


def comparable(family: str, group: str | None = None) -> list[str]:
    """Models of a family, or of one of its groups, that have measurements or evaluations, in the order of the menu."""
    opened = store()
    return list(_comparable(str(opened.path), opened.signature(), settings().mode, family, group))


@kept(64)
def _comparable(path: str, signature: tuple[int, ...], mode: str, family: str, group: str | None) -> list[str]:
    held, evaluated = measured_models(), evaluated_models()
    full = {
        *held.loc[(held["family"] == family) & (held["measured"] > 0), "model"],
        *evaluated.loc[evaluated["family"] == family, "model"],
    }
    return [name for name in (groups(family)[group] if group else families()[family]) if name in full]


def evaluations(family: str, models: tuple[str, ...] | None = None) -> pd.DataFrame:
    return _of("evaluations", family, models)


def metrics(family: str) -> list[Metric]:
    """The metrics that a family has values of, the default first."""
    opened = store()
    return _metrics(str(opened.path), opened.signature(), family)


@kept(32)
def _metrics(path: str, signature: tuple[int, ...], family: str) -> list[Metric]:
    return performance.available(store(), family)


def metric_names(family: str) -> list[str]:
    return [metric.name for metric in metrics(family)]


def metric(family: str, name: str) -> Metric:
    """The metric of this name; the loss where the family has no values yet."""
    known = {item.name: item for item in metrics(family)}
    return known.get(name, performance.MEASURED["nats_per_token"])


def curve(family: str, models: tuple[str, ...], name: str) -> pd.DataFrame:
    """Values of a metric along training, with what is known of each model (`jobs.metrics.curve`)."""
    opened = store()
    return _curve(str(opened.path), opened.signature(), family, models, metric(family, name)).copy(deep=False)


@kept(64)
def _curve(path: str, signature: tuple[int, ...], family: str, models: tuple[str, ...], metric: Metric) -> pd.DataFrame:
    return performance.curve(store(), family, list(models), metric)


def coloured(family: str, models: tuple[str, ...], name: str, centred: bool, before_norm: bool) -> pd.DataFrame:
    """A metric along training with the anisotropy that colours it (`figures.coloured_table`)."""
    opened = store()
    found = _coloured(str(opened.path), opened.signature(), family, models, metric(family, name), centred, before_norm)
    return found.copy(deep=False)


@kept(64)
def _coloured(
    path: str,
    signature: tuple[int, ...],
    family: str,
    models: tuple[str, ...],
    metric: Metric,
    centred: bool,
    before_norm: bool,
) -> pd.DataFrame:
    rows, along = curve(family, models, metric.name), trajectory(family, models)
    return coloured_table(rows, along, centred=centred, before_norm=before_norm)


def span(family: str) -> tuple[float, float] | None:
    """Parameter counts that the colours of a family cover."""
    held = measured_models()
    counts = held.loc[(held["family"] == family) & (held["parameters"] > 0), "parameters"]
    return None if counts.empty else (float(counts.min()), float(counts.max()))


@contextmanager
def reported() -> Iterator[None]:
    """Show an error that the user can mend as one sentence, and go on with the page."""
    try:
        yield
    except SaturationError as error:
        st.error(said(error), icon=":material/error:")
