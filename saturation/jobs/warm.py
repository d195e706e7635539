"""What a worker process needs, imported: the process that worker processes are copies of reads this once for all."""

import distributed.nanny  # noqa: F401

from saturation.checkpoints.load import preload
from saturation.jobs import measure  # noqa: F401

preload()
