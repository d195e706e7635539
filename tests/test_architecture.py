"""The arrows of the house, read from the imports themselves."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from saturation.settings import ROOT

LIBRARY = ROOT / "saturation"
PARTS = {
    "families",
    "checkpoints",
    "measures",
    "evaluations",
    "store",
    "jobs",
    "figures",
    "ui",
    "lab",
    "method",
    "corpora",
    "monitor",
}
HEAVY = {"torch", "transformers", "tokenizers", "safetensors"}
SMALL = {"errors", "settings"}

# What each part may import: of ours, and of the packages that are named somewhere below.
OURS: dict[str, set[str]] = {
    "errors": set(),
    "settings": {"errors"},
    "families": {"errors"},
    "measures": {"errors"},
    "evaluations": {"errors", "families"},
    "store": {"errors", "settings"},
    "figures": {"errors"},
    "method": {"errors", "families"},
    "texts": {"errors", "families", "lab"},
    "checkpoints": {"errors", "settings", "families", "measures"},
    "lab": {"errors", "settings", "measures"},
    "corpora": {"errors", "checkpoints"},
    "monitor": {"errors", "settings", "measures", "checkpoints"},
    "jobs": {
        "errors",
        "settings",
        "families",
        "checkpoints",
        "measures",
        "evaluations",
        "store",
        "texts",
        "corpora",
        "lab",
        "monitor",
    },
}
THEIRS: dict[str, set[str]] = {
    "errors": set(),
    "settings": set(),
    "families": set(),
    "measures": {"numpy", "ruptures", "scipy", "threadpoolctl", "torch"},
    "evaluations": set(),
    "method": set(),
    "store": {"duckdb", "filelock", "numpy", "pandas", "pyarrow", "tenacity"},
}
# Nothing of these anywhere but in the parts named.
KEPT = {
    "streamlit": {"ui"},
    "plotly": {"figures", "ui"},
    "duckdb": {"store", "ui"},
    "torch": {"measures", "checkpoints", "jobs", "lab", "monitor"},
    "transformers": {"checkpoints", "lab", "monitor"},
    "huggingface_hub": {"checkpoints"},
    "tokenizers": {"corpora", "lab"},
    "sentencepiece": {"corpora"},
}
FILES = [path for path in sorted(LIBRARY.rglob("*.py")) if "__pycache__" not in path.parts]


def part_of(path: Path) -> str:
    """The folder or module of the library that a file belongs to."""
    return path.relative_to(LIBRARY).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Full names of all modules that a file imports anywhere, but for those that only a type checker sees."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    hidden = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def ours(path: Path) -> set[str]:
    """Parts of the library that a file imports, its own left out."""
    names = {name.split(".")[1] for name in imports(path) if name.startswith("saturation.")}
    return {name for name in names if name != part_of(path) and (name in PARTS or (LIBRARY / f"{name}.py").exists())}


def theirs(path: Path) -> set[str]:
    """Packages from outside that a file imports."""
    names = {name.split(".")[0] for name in imports(path)}
    return names - set(sys.stdlib_module_names) - {"saturation", "pydoc_data"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_reader_of_imports_sees_them_all() -> None:
    joining = LIBRARY / "jobs" / "measure.py"
    assert {"saturation.checkpoints.load.read_head", "torch", "datetime.UTC"} <= imports(joining)
    assert ours(joining) >= {"checkpoints", "measures", "store", "texts"}
    assert "lab" in ours(LIBRARY / "texts.py")  # inside a function
    assert {part_of(path) for path in FILES} >= PARTS


@pytest.mark.parametrize("path", [path for path in FILES if part_of(path) in OURS], ids=name_of)
def test_arrows_run_one_way(path: Path) -> None:
    assert ours(path) <= OURS[part_of(path)]


@pytest.mark.parametrize("path", [path for path in FILES if part_of(path) in THEIRS], ids=name_of)
def test_inner_parts_lean_on_little(path: Path) -> None:
    assert theirs(path) <= THEIRS[part_of(path)]


@pytest.mark.parametrize("package", KEPT)
def test_each_package_is_imported_in_its_place_only(package: str) -> None:
    assert {part_of(path) for path in FILES if package in theirs(path)} <= KEPT[package]


def test_measures_touch_no_files() -> None:
    reaching_out = {"os", "pathlib", "io", "json", "socket", "urllib", "sqlite3", "subprocess", "tempfile"}
    for path in (LIBRARY / "measures").glob("*.py"):
        assert not {name.split(".")[0] for name in imports(path)} & reaching_out, path


def test_pages_draw_and_do_not_compute() -> None:
    for path in [ROOT / "app.py", *(ROOT / "pages").glob("*.py")]:
        assert not theirs(path) & {"torch", "transformers", "duckdb", "scipy", "huggingface_hub"}, path
        named = {name.split(".")[1] for name in imports(path) if name.startswith("saturation.")}
        assert not named & {"measures", "lab"}, path


def dashboard_modules() -> list[str]:
    """Everything that the dashboard's process imports."""
    modules = (
        "store.queries",
        "store.packs",
        "jobs.board",
        "jobs.catalogue",
        "jobs.live",
        "jobs.playground",
        "jobs.request",
        "families.registry",
    )
    names = [f"saturation.{module}" for module in (*modules, "checkpoints.library", "cli")]
    for part in ("figures", "ui"):
        names += [f"saturation.{part}.{path.stem}" for path in sorted((LIBRARY / part).glob("[a-z]*.py"))]
    return names


def test_the_dashboards_process_never_imports_torch() -> None:
    assert all(importlib.util.find_spec(name) for name in dashboard_modules())
    code = (
        f"import importlib, sys\nfor name in {dashboard_modules()}:\n"
        "    importlib.import_module(name)\n"
        f"    assert not {HEAVY} & set(sys.modules), (name, {HEAVY} & set(sys.modules))\n"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (found.returncode, found.stderr[-2000:] if found.returncode else "") == (0, "")


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_stay_readable(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 400
    assert ast.get_docstring(ast.parse("\n".join(lines))), "a file begins with what it is for"
