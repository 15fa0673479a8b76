"""The command line: options that the commands share, and how their output and errors reach the user."""
