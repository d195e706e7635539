"""Which pages there are. A new page is a file in `pages/` and one entry here."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Page:
    """A page of the menu. `path` is its file beside `app.py`; `controls` are the parts of the selection it uses."""

    name: str
    path: str
    question: str
    icon: str
    controls: tuple[str, ...]


OVERVIEW = Page(
    name="Overview",
    path="app.py",
    question="Is it saturating?",
    icon=":material/monitoring:",
    controls=("step", "scale"),
)
ANISOTROPY = Page(
    name="Anisotropy",
    path="pages/1_Anisotropy.py",
    question="Where do representations collapse?",
    icon=":material/blur_on:",
    controls=("models", "step", "view", "scale"),
)
SINGULAR_VALUES = Page(
    name="Singular values",
    path="pages/2_Singular_values.py",
    question="What happens to the head?",
    icon=":material/stacked_line_chart:",
    controls=("models", "step", "view", "scale", "ranks", "colour"),
)
MEASURE = Page(
    name="Measure",
    path="pages/3_Measure.py",
    question="Compute what is missing",
    icon=":material/play_circle:",
    controls=(),
)

PAGES = (OVERVIEW, ANISOTROPY, SINGULAR_VALUES, MEASURE)
