"""The signals that stop a server."""

import signal
from collections.abc import Callable


def stops() -> set[signal.Signals]:
    """SIGTERM, SIGINT and SIGHUP; not SIGHUP where who started the process had it ignored, as nohup does."""
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return {signal.SIGTERM, signal.SIGINT} | (set() if ignored else {signal.SIGHUP})


def on_stop(stop: Callable[[str], None]) -> None:
    """Have `stop` called with the name of each such signal, in the main thread."""
    for number in stops():
        signal.signal(number, lambda number, _: stop(signal.Signals(number).name))
