"""One module per command, with the flags and tables that they share."""
