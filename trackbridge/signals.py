"""Exceptions that a signal handler of the user's raises while our code runs: they are no failure of ours, and not ours to swallow."""

from __future__ import annotations


def raised_by_handler(error: BaseException) -> bool:
    """Whether a signal handler raised `error`, such as that of ``signal.alarm`` which ends a call with TimeoutError.

    Known are handlers that are functions or methods. C code that raises adds no frame of its own, so most errors are told at a glance.
    """
    trace = error.__traceback__
    if trace is None or trace.tb_next is None:
        return False
    import signal

    codes = {getattr(signal.getsignal(number), "__code__", None) for number in signal.valid_signals()} - {None}
    while trace is not None:
        if trace.tb_frame.f_code in codes:
            return True
        trace = trace.tb_next
    return False
