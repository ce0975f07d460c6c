"""The command paravec-server."""

import errno
import gc
import os
import resource
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress

from .process import malloc
from .process.signals import on_stop

# Files and threads that a server has before it has a caller, and some to spare. With fewer files gRPC ends the process
# by a signal, with fewer threads it waits for ever, both without a word.
_FILES, _THREADS = 64, 32

_MORE_FILES = "raise the limit of open files to 1024 or more (ulimit -n, or LimitNOFILE of systemd)"
_MORE_THREADS = "raise the limit of threads and processes (ulimit -u, TasksMax of systemd, the container's pids limit)"
_MORE_MEMORY = "give it more memory (ulimit -v, MemoryMax of systemd, or the container's memory limit)"
_NO_THREAD = f"no thread can be had: {_MORE_THREADS}"
_REMEDIES = {
    errno.EMFILE: _MORE_FILES,
    errno.ENFILE: "raise the system's limit of open files (sysctl fs.file-max)",
    errno.EAGAIN: _MORE_THREADS,
    errno.ENOMEM: _MORE_MEMORY,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until told to stop; 0 after a drain, 1 if the server could not begin, 2 for a wrong setting. It ends the
    process with that, or returns it."""
    # As PID 1 of a container a process ignores SIGTERM until it has a handler; imports take a while.
    on_stop(lambda _: os._exit(0))
    if argv is None:
        malloc.configure()
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
    if problem := _shortage():
        return _fail(problem, 1)

    from paravec_model.errors import ModelError

    from .process.worker import my_place
    from .settings import ListenError, SettingsError, read_settings
    from .telemetry.logs import configure

    try:
        settings = read_settings(argv)
        place = my_place()
        configure(settings.log_level, settings.log_format, place.number if place else None)
        if settings.processes > 1 and not place:
            from .process.supervisor import supervise

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
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0)
        code = _fail(f"{error.strerror}: {remedy}" if remedy else str(error), 1)
    except MemoryError:
        code = _fail(f"no memory left: {_MORE_MEMORY}", 1)
    except RuntimeError as error:
        # Python's words for a thread that cannot be had; anything else is a fault of ours.
        if "new thread" not in str(error):
            raise
        code = _fail(_NO_THREAD, 1)
    with suppress(OSError):
        sys.stderr.flush()
    # At once: what could still run is what nobody waits for any more, and it would hold up the exit.
    os._exit(code)


def _shortage() -> str:
    """Which of the process's limits is too low for a server; "" if none is."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files != resource.RLIM_INFINITY and files < _FILES:
        return f"only {files} files may be open at once: {_MORE_FILES}"
    end = threading.Event()
    threads = [threading.Thread(target=end.wait, daemon=True) for _ in range(_THREADS)]
    try:
        for thread in threads:
            thread.start()
    except RuntimeError:
        return _NO_THREAD
    finally:
        end.set()
    return ""


def _fail(problem: str, code: int) -> int:
    print(f"paravec-server: {problem}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
