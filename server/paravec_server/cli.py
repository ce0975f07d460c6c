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

# File descriptors and threads that an idle server needs, with some to spare. With fewer descriptors gRPC aborts the
# process, with fewer threads it hangs, both without a message.
_MIN_FILES, _MIN_THREADS = 64, 32

_RAISE_FILES = "raise the limit of open files to 1024 or more (ulimit -n, or LimitNOFILE= of systemd)"
_RAISE_THREADS = (
    "raise the limit of threads and processes (ulimit -u, TasksMax= of systemd, or the container's pids limit)"
)
_RAISE_MEMORY = "raise the limit of memory (ulimit -v, MemoryMax= of systemd, or the container's memory limit)"
_NO_THREAD = f"cannot start a thread: {_RAISE_THREADS}"
_REMEDIES = {
    errno.EMFILE: _RAISE_FILES,
    errno.ENFILE: "raise the system's limit of open files (sysctl fs.file-max)",
    errno.EAGAIN: _RAISE_THREADS,
    errno.ENOMEM: _RAISE_MEMORY,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until a signal stops the server. Exits the process, or returns the exit code.

    It is 0 after a drain, 1 if the server cannot start, 2 for an invalid setting.
    """
    # PID 1 of a container ignores SIGTERM until it has a handler, and the imports below take a while.
    on_stop(lambda _: os._exit(0))
    if argv is None:
        malloc.configure()
    if sys.stderr is None:
        # Standard error is closed. Occupy its descriptor, so that no file opened later gets log lines.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        sys.stderr = os.fdopen(2, "w", closefd=False)
    # gRPC core would log several lines of its own for errors that the server reports in one.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")

    try:
        return _serve(argv)
    except ModuleNotFoundError as error:
        return _fail(f"{error.name} is not installed: pip install 'paravec[server]'", 1)


def _serve(argv: Sequence[str] | None) -> int:
    if problem := _low_limit():
        return _fail(problem, 1)

    from paravec_model.errors import ModelError

    from .process.worker import identity_from_environment
    from .settings import ListenError, SettingsError, read_settings
    from .telemetry.logs import configure

    try:
        settings = read_settings(argv)
        identity = identity_from_environment()
        configure(settings.log_level, settings.log_format, identity.number if identity else None)
        if settings.processes > 1 and not identity:
            from .process.supervisor import supervise

            return supervise(settings, sys.argv[1:] if argv is None else argv)
        # Garbage collection during the imports finds next to nothing, and took a tenth of the start.
        gc.disable()
        from .app import serve

        gc.enable()
        serve(settings, identity)
        code = 0
    except SettingsError as error:
        code = _fail(str(error), 2)
    except (ModelError, ListenError) as error:
        code = _fail(str(error), 1)
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0)
        code = _fail(f"{error.strerror}: {remedy}" if remedy else str(error), 1)
    except MemoryError:
        code = _fail(f"out of memory: {_RAISE_MEMORY}", 1)
    except RuntimeError as error:
        # Python's message if it cannot start a thread. Anything else is a bug.
        if "new thread" not in str(error):
            raise
        code = _fail(_NO_THREAD, 1)
    with suppress(OSError):
        sys.stderr.flush()
    # Without waiting for threads: they can only run calls that were cut off, and would delay the exit.
    os._exit(code)


def _low_limit() -> str:
    """What is wrong if a limit of the process is too low for a server; "" if none is."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files != resource.RLIM_INFINITY and files < _MIN_FILES:
        return f"the limit of open files is {files}: {_RAISE_FILES}"
    end = threading.Event()
    threads = [threading.Thread(target=end.wait, daemon=True) for _ in range(_MIN_THREADS)]
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
