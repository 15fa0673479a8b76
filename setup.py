"""The page that a package index shows: the README, whose relative links lead nowhere there.

With CLOTHINGGAN_URL, the address of a copy of this repository as plain files, pictures and links become
absolute; without it pictures give way to their descriptions, and links to their words.
"""

import os
import re
from pathlib import Path

from setuptools import setup

_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:)([^)]+)\)")


def index_page(readme: str, address: str | None) -> str:
    """Returns the README with every relative link made absolute, or taken out where there is no address."""

    def replace(link: re.Match) -> str:
        picture, words, target = link.groups()
        if address:
            return f"{picture}[{words}]({address.rstrip('/')}/{target})"
        return f"*[picture: {words}]*" if picture else words

    return _LINK.sub(replace, readme)


if __name__ == "__main__":
    text = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    setup(
        long_description=index_page(text, os.environ.get("CLOTHINGGAN_URL")),
        long_description_content_type="text/markdown",
    )
