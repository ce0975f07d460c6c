"""Errors that the user of the command can fix."""


class CommandError(Exception):
    """One line that names the file or flag and what to do."""

    def __init__(self, text: str, exit_code: int = 2) -> None:
        """`exit_code`: 2 for the command line and the files that it names, 1 for the content of a file."""
        super().__init__(text)
        self.exit_code = exit_code
