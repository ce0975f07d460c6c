"""Runs the example faq_engine and a paravec server for it until Ctrl-C; `make faq` starts this."""

import argparse
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from demo import server

HERE = Path(__file__).parent


def main() -> int:
    """Run both; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, type=Path, help="artifact with an index of the entries")
    parser.add_argument("--python", required=True, help="a Python with the packages of requirements/faq.lock")
    parser.add_argument("--faq", required=True, type=Path, help="file of the entries")
    parser.add_argument("--listen", default="127.0.0.1:8080", help="address of the page [%(default)s]")
    arguments = parser.parse_args()
    paths = [str(path) for path in (HERE, HERE.parent, HERE.parents[1] / "proto")]
    with server(arguments.model) as port:
        variables = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PARAVEC_TARGET": f"127.0.0.1:{port}"}
        command = [arguments.python, "-m", "faq_engine", "--faq", str(arguments.faq)]
        command += ["--listen", arguments.listen]
        with subprocess.Popen(command, env=variables) as page, suppress(KeyboardInterrupt):  # noqa: S603  our own command
            return page.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
