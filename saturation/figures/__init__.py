"""Figures: a DataFrame in, a plotly Figure out. Nothing here knows the store or the dashboard.

spectra = queries.spectra(store, "lab", "w8")
singular_map(spectra).show()
"""

from saturation.figures.anisotropy import depth_curves, depth_table, last_layer_curves, layer_map
from saturation.figures.linked import linked_figure, linked_table
from saturation.figures.singular import entropy_curves, map_table, singular_map, spectrum_film
from saturation.figures.standalone import page
from saturation.figures.theme import DARK, LIGHT, THEMES, Theme

__all__ = [
    "DARK",
    "LIGHT",
    "THEMES",
    "Theme",
    "depth_curves",
    "depth_table",
    "entropy_curves",
    "last_layer_curves",
    "layer_map",
    "linked_figure",
    "linked_table",
    "map_table",
    "page",
    "singular_map",
    "spectrum_film",
]
