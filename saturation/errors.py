"""Every exception of the project. The message is one sentence: what was wrong, and what to do."""


class SaturationError(Exception):
    """Base of every error that a user can cause or mend; shown without a traceback."""


class InputError(SaturationError):
    """A value that was given (a name, a path, a text, a setting) cannot be used."""


class UnknownNameError(InputError):
    """A family, model, step, text or measure that does not exist."""


class CheckpointError(SaturationError):
    """A checkpoint cannot be read or is not what was expected."""


class NoHeadError(CheckpointError):
    """The checkpoint holds no output head."""


class NotFiniteError(CheckpointError):
    """Weights or results hold NaN or infinite values."""


class MemoryBoundError(CheckpointError):
    """A checkpoint needs more memory than this machine has or may use."""


class TextError(InputError):
    """A text cannot be read or is too short to be measured."""


class StoreError(SaturationError):
    """The measurement store cannot be opened, read or written."""


class StoreBusyError(StoreError):
    """Another process kept the store locked for longer than the wait allows."""


class DamagedStoreError(StoreError):
    """The store's file itself is damaged."""


class PackError(StoreError):
    """A measurement pack is damaged or was written by an incompatible version."""


class QueryError(InputError):
    """A query that is not answered: it does more than read, has an error, or takes too much."""


class JobError(SaturationError):
    """A job cannot be started, found or cancelled."""


class RefusedError(JobError):
    """A hosted server does not do this, or not so much of it."""


class CancelledError(JobError):
    """Work was stopped because nobody wants it any more."""
