"""Is this language model saturating, since when, and is its output head the reason?

The library under the dashboard. Every measure is a plain function of tensors (`saturation.measures`);
checkpoints come from `saturation.checkpoints`; results live in one DuckDB file (`saturation.store`);
`saturation.jobs` is the only place that joins the three. Definitions follow arXiv 2404.07647.
"""

__version__ = "0.1.0"
