"""Data: bring evaluations and measurement packs in, take measurements away."""

from saturation.ui.frame import open_page
from saturation.ui.pages import DATA

view = open_page(DATA)
