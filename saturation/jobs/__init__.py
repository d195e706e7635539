"""Plan what is missing, measure it, report progress: the only place that joins checkpoints, measures and store."""
