"""What a person at the command line can put right."""


class CommandError(Exception):
    """One line that names the file or flag and says what to do."""

    def __init__(self, text: str, exit_code: int = 2) -> None:
        """`exit_code`: 2 for the command line and the files it names, 1 for what is in a file."""
        super().__init__(text)
        self.exit_code = exit_code


def missing(package: str, purpose: str, install: str) -> CommandError:
    """The error for a package that is optional and not there."""
    return CommandError(f"{purpose} needs {package}: pip install {install}")
