"""The command paravec-server."""

import gc
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

from . import heap


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until told to stop; 0 after a drain, 1 if the server could not begin, 2 for a wrong setting. It ends the
    process with that, or returns it."""
    # As PID 1 of a container a process ignores SIGTERM until it has a handler; imports take a while.
    stops = {signal.SIGTERM, signal.SIGINT}
    for number in stops:
        signal.signal(number, lambda *_: os._exit(0))
    if argv is None:
        heap.begin_again(stops)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, stops)
    if sys.stderr is None:
        # Closed: what is opened next must not take its place, and be written to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        sys.stderr = os.fdopen(2, "w", closefd=False)
    # gRPC's core writes lines of its own for what is reported here in one.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")

    try:
        return _serve(argv)
    except ModuleNotFoundError as error:
        return _fail(f"{error.name} is not installed: pip install 'paravec[server]'", 1)


def _serve(argv: Sequence[str] | None) -> int:
    from paravec_model.errors import ModelError

    from .logs import configure
    from .settings import ListenError, SettingsError, read_settings
    from .worker import my_place

    try:
        settings = read_settings(argv)
        place = my_place()
        configure(settings.log_level, settings.log_format, place.number if place else None)
        if settings.processes > 1 and not place:
            from .supervisor import supervise

            return supervise(settings, sys.argv[1:] if argv is None else argv)
        # To look for garbage during imports, which make next to none, took a tenth of the start.
        gc.disable()
        from .app import serve

        gc.enable()
        serve(settings, place)
        code = 0
    except SettingsError as error:
        code = _fail(str(error), 2)
    except (ModelError, ListenError) as error:
        code = _fail(str(error), 1)
    with suppress(OSError):
        sys.stderr.flush()
    # At once: what could still run is what nobody waits for any more, and it would hold up the exit.
    os._exit(code)


def _fail(problem: str, code: int) -> int:
    print(f"paravec-server: {problem}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
