"""Which pages there are. A new page is a file in `pages/` and one entry here."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Page:
    """A page of the menu.

    `path` is its file beside `app.py`; `controls` are the parts of the selection it uses; `words` name the two
    views (plain, centred) where the page has them.
    """

    name: str
    path: str
    question: str
    icon: str
    controls: tuple[str, ...]
    words: tuple[tuple[str, str], ...] = ()


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
    words=(("plain", "Plain"), ("centred", "Mean-centred")),
)
SINGULAR_VALUES = Page(
    name="Singular values",
    path="pages/2_Singular_values.py",
    question="What happens to the head?",
    icon=":material/stacked_line_chart:",
    controls=("models", "step", "view", "scale", "ranks", "colour"),
    words=(("plain", "Head as stored"), ("centred", "As the softmax sees it")),
)
MEASURE = Page(
    name="Measure",
    path="pages/3_Measure.py",
    question="Compute what is missing",
    icon=":material/play_circle:",
    controls=(),
)

PAGES = (OVERVIEW, ANISOTROPY, SINGULAR_VALUES, MEASURE)
