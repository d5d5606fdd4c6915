"""The errors that TrackBridge raises, for users and for adapters."""

from __future__ import annotations


class TrackBridgeError(Exception):
    """Base of every error of this package; its message names the remedy."""


class SettingsError(TrackBridgeError, ValueError):
    """An argument or an environment variable cannot be used."""


class BackendError(TrackBridgeError):
    """A backend is unknown, its client is not installed here, or what it holds cannot be read.

    Args:
        problem: what is wrong.
        remedy: the command that mends it, if there is one; the message has both.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(f"{problem}: run  {remedy}" if remedy else problem)
        self.problem, self.remedy = problem, remedy


class JournalError(TrackBridgeError, OSError):
    """The run's directory or journal cannot be written or read."""


class RunNotFound(TrackBridgeError, LookupError):
    """No run of this id lies in the given source."""


class Unavailable(TrackBridgeError):
    """Raised by a Writer: the tracker cannot be reached now. The forwarder waits and asks again; nothing is lost.

    Args:
        message: what failed, in the client's own words.
        retry_after: seconds that the tracker asked to wait, if it did.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Rejected(TrackBridgeError):
    """Raised by a Writer: the tracker can never take this record. It goes to the dead-letter file.

    Args:
        reason: why, in the tracker's own words.
        index: the record's place in the batch; None when the tracker does not tell (the forwarder then bisects).
    """

    def __init__(self, reason: str, index: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.index = index
