"""Which pages there are. A new page is a file in `pages/` and one entry here."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Page:
    """A page of the menu.

    `path` is its file beside `app.py`; `controls` are the parts of the selection it uses; `chooses` whether it shows
    anything of the selected family and model.
    """

    name: str
    path: str
    question: str
    icon: str
    controls: tuple[str, ...]
    chooses: bool = True


OVERVIEW = Page(
    name="Overview",
    path="app.py",
    question="Is it saturating?",
    icon=":material/monitoring:",
    controls=("step", "metric", "scale"),
)
PERFORMANCE = Page(
    name="Performance",
    path="pages/1_Performance.py",
    question="How much does it lose?",
    icon=":material/trending_up:",
    controls=("models", "step", "metric", "by", "scale"),
)
ANISOTROPY = Page(
    name="Anisotropy",
    path="pages/2_Anisotropy.py",
    question="Where do representations collapse?",
    icon=":material/blur_on:",
    controls=("models", "step", "metric", "view", "norm", "scale"),
)
SINGULAR_VALUES = Page(
    name="Singular values",
    path="pages/3_Singular_values.py",
    question="What happens to the head?",
    icon=":material/stacked_line_chart:",
    controls=("models", "step", "view", "divide", "scale", "ranks", "colour"),
)
BOTTLENECK = Page(
    name="Bottleneck",
    path="pages/4_Bottleneck.py",
    question="Is the width the reason?",
    icon=":material/compress:",
    controls=("models", "step"),
)
COMPARE = Page(
    name="Compare",
    path="pages/5_Compare.py",
    question="Which differs?",
    icon=":material/compare_arrows:",
    controls=("align", "less", "scale", "view"),
)
MEASURE = Page(
    name="Measure",
    path="pages/7_Measure.py",
    question="Compute what is missing",
    icon=":material/play_circle:",
    controls=(),
)
DATA = Page(
    name="Data",
    path="pages/8_Data.py",
    question="Bring data in, take it away",
    icon=":material/database:",
    controls=(),
)
METHOD = Page(
    name="Method",
    path="pages/9_Method.py",
    question="What does it mean?",
    icon=":material/function:",
    controls=(),
    chooses=False,
)

PAGES = (OVERVIEW, PERFORMANCE, ANISOTROPY, SINGULAR_VALUES, BOTTLENECK, COMPARE, MEASURE, DATA, METHOD)


def named(name: str) -> Page:
    """The page of this name. Raises KeyError for one that there is not."""
    return {page.name: page for page in PAGES}[name]
