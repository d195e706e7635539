"""All that can be brought in, from the command line or the Data page: result files, folders of them, packs."""

import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from saturation.errors import RefusedError, SaturationError
from saturation.jobs import hosting, quota
from saturation.jobs.evaluations import Check, Report, import_results, import_uploads
from saturation.jobs.import_report import ImportReport
from saturation.settings import Settings
from saturation.store import Store, packs

PACK = ".zip"


def bring_in(
    store: Store, paths: Iterable[str | os.PathLike[str]], model: str | None = None, progress: Report | None = None
) -> ImportReport:
    """Add packs (*.zip) and results of a harness (JSON files, folders of them) to the store.

    What cannot be read is said in the report. Raises InputError for a model that does not exist, StoreError.
    """
    given = [Path(path) for path in paths]
    zipped = [path for path in given if path.suffix.lower() == PACK and not path.is_dir()]
    report = import_results(store, [path for path in given if path not in zipped], model, progress)
    for pack in zipped:
        _add_pack(store, pack, pack.name, report)
    return report


def bring_in_uploads(
    store: Store, uploads: Sequence[tuple[str, bytes]], model: str | None = None, check: Check | None = None
) -> ImportReport:
    """The same for files (name, bytes) that came from a browser. check(family, model): raises for what may not come."""
    zipped = [upload for upload in uploads if upload[0].lower().endswith(PACK)]
    report = import_uploads(store, [upload for upload in uploads if upload not in zipped], model, check)
    with tempfile.TemporaryDirectory() as folder:
        for name, data in zipped:
            file = Path(folder, re.sub(r"[^\w.-]", "_", name)[-100:])
            file.write_bytes(data)
            _add_pack(store, file, name, report, check)
    return report


def bring_in_for(
    settings: Settings, uploads: Sequence[tuple[str, bytes]], path: str = "", model: str | None = None
) -> ImportReport:
    """What the Data page asks for: uploads, and on a machine of one's own a file or folder.

    A public server takes results and packs of registry models that did not come with it, as much as `quota` allows.
    Raises RefusedError, InputError, StoreError.
    """
    hosting.may_write(settings)
    if path and settings.mode != "local":
        raise RefusedError(f"Files and folders of this server are not read; upload files, or {hosting.OWN}.")
    quota.take_in(settings, sum(len(data) for _, data in uploads))
    store = Store(settings.store_path)
    report = bring_in_uploads(store, uploads, model, lambda *name: hosting.check_import(settings, *name))
    if path:
        report.join(bring_in(store, [path], model))
    return report


def _add_pack(store: Store, pack: Path, name: str, report: ImportReport, check: Check | None = None) -> None:
    store.ensure()
    try:
        tables = packs.read(pack)  # before the store is opened: nobody waits for it
        if check:
            for family, model in sorted(packs.models(tables)):
                check(family, model)
    except SaturationError as error:
        report.not_understood.append((name, str(error)))
        return
    count = "SELECT count(*) FROM evaluations"
    with store.write() as connection:
        before = connection.execute(count).fetchall()[0][0]
        added = packs.add(connection, pack, tables)
        after = connection.execute(count).fetchall()[0][0]
    report.packs[name] = (added, after - before)
