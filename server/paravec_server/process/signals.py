"""The signals that stop a server."""

import signal
from collections.abc import Callable


def _stop_signals() -> set[signal.Signals]:
    """SIGTERM, SIGINT and SIGHUP; without SIGHUP if it is ignored, as under nohup."""
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return {signal.SIGTERM, signal.SIGINT} | (set() if ignored else {signal.SIGHUP})


def on_stop(stop: Callable[[str], None]) -> None:
    """Call `stop` with the signal's name, in the main thread, for each signal that stops a server."""
    for number in _stop_signals():
        signal.signal(number, lambda number, _: stop(signal.Signals(number).name))
