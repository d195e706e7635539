"""Bottleneck: is the width the reason?"""

from saturation.ui import empty, heads, ngrams, playground
from saturation.ui.data import reported
from saturation.ui.frame import open_page
from saturation.ui.pages import BOTTLENECK

view = open_page(BOTTLENECK)
with reported():
    if view.selection.step is None:
        empty.nothing_measured(view)
    else:
        view.toolbar()
        heads.section(view)
with reported():
    ngrams.section(view)
with reported():
    playground.section(view)
