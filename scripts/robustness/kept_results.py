"""Keeps what a long script has found in a JSON file, so that it goes on where it was cut off."""

import json
from pathlib import Path


class Results:
    """Findings by name, in a file that holds all of them at any moment.

    Attributes:
        path: The file; None keeps them in memory alone.
        found: What there is by now.
    """

    def __init__(self, path: Path | None):
        self.path = path
        self.found = json.loads(path.read_text()) if path and path.exists() else {}

    def __contains__(self, name: str) -> bool:
        return name in self.found

    def put(self, name: str, finding: object) -> None:
        """Adds a finding."""
        self.found[name] = finding
        if self.path:
            beside = self.path.with_name(f".{self.path.name}")
            beside.write_text(json.dumps(self.found, indent=1) + "\n")
            beside.replace(self.path)
