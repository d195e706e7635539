"""What can go wrong with the hub. Each message is one sentence: which repository and revision, and what to do."""

from saturation.errors import CheckpointError


class HubError(CheckpointError):
    """The hub cannot give what was asked of it."""


class HubNotFoundError(HubError):
    """The hub has no such repository, revision or file."""


class HubAccessError(HubError):
    """The repository is gated or private and the token in use does not open it."""


class HubBusyError(HubError):
    """The hub limits the rate of requests and asks to wait longer than we do."""


class HubUnavailableError(HubError):
    """The hub did not answer, or answered with errors or too slowly, in every attempt."""


class HubOfflineError(HubError):
    """HF_HUB_OFFLINE is set and what was asked for is not on this machine."""


class HubDamagedError(HubError):
    """What the hub sent is not what it should be: a wrong length, a damaged header, other content."""


class HubDiskError(HubError):
    """What was read from the hub cannot be kept, because the disk is full or cannot be written."""
