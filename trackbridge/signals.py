"""Exceptions that a signal handler of the user's raises while our code runs: they are no failure of ours, and not ours to swallow."""

from __future__ import annotations


def raised_by_handler(error: BaseException) -> bool:
    """Whether a signal handler raised `error`, such as that of ``signal.alarm`` which ends a call with TimeoutError.

    Known are handlers that are functions or methods. C code that raises adds no frame of its own, so most errors are told at a glance.
    """
    if error.__traceback__ is None or error.__traceback__.tb_next is None:
        return False
    import signal
    import traceback

    codes = {getattr(signal.getsignal(number), "__code__", None) for number in signal.valid_signals()} - {None}
    return any(frame.f_code in codes for frame, _ in traceback.walk_tb(error.__traceback__))
