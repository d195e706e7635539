"""Figures: a DataFrame in, a plotly Figure out. Nothing here knows the store or the dashboard.

spectra = queries.spectra(store, "lab", "w8")
singular_map(spectra).show()
"""

from saturation.figures.alignment import alignment_curves, alignment_table
from saturation.figures.anisotropy import at_norm, depth_curves, depth_table, last_layer_curves
from saturation.figures.coloured import coloured_panels, coloured_table
from saturation.figures.compare import compare_panels, difference_map
from saturation.figures.depth_panels import depth_panels
from saturation.figures.heads import heads_by_rank, learning_rates, loss_by_w_error, truncated_along_training
from saturation.figures.layer_map import layer_map
from saturation.figures.linked import linked_figure, linked_table
from saturation.figures.ngrams import ngram_curves
from saturation.figures.performance import loss_panels, metric_curves
from saturation.figures.playground import playground_figure
from saturation.figures.scaling import scaling_figure
from saturation.figures.singular import entropy_curves, map_table, singular_map
from saturation.figures.spectrum_film import spectrum_film
from saturation.figures.theme import DARK, LIGHT, PAPER, THEMES, Theme

__all__ = [
    "DARK",
    "LIGHT",
    "PAPER",
    "THEMES",
    "Theme",
    "alignment_curves",
    "alignment_table",
    "at_norm",
    "coloured_panels",
    "coloured_table",
    "compare_panels",
    "depth_curves",
    "depth_panels",
    "depth_table",
    "difference_map",
    "entropy_curves",
    "heads_by_rank",
    "last_layer_curves",
    "layer_map",
    "learning_rates",
    "linked_figure",
    "linked_table",
    "loss_by_w_error",
    "loss_panels",
    "map_table",
    "metric_curves",
    "ngram_curves",
    "playground_figure",
    "scaling_figure",
    "singular_map",
    "spectrum_film",
    "truncated_along_training",
]
