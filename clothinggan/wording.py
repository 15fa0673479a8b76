"""What the commands say, in the words of whoever is told: options and commands, or a program's own.

A program that calls the functions of `clothinggan` is told of keywords in the place of options, and of calls
in that of commands.
"""

import contextlib
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path

_COMMAND = re.compile(r"python -m clothinggan[. ](resume|display)(?= --)")
_OPTION = re.compile(r" --([a-z][a-z-]*[a-z])")
_VALUE = re.compile(r" ('(?:[^']|'\"'\"')*'|[\w@%+=:,./-]*[\w@%+=:./-])")
_MENTIONED = re.compile(
    r"(?P<with>(?:with|say) )?(?<![\w/-])--(?P<name>[a-z][a-z-]*[a-z])(?P<rest> [A-Z]+\b| \w)?"
)

_said_as: ContextVar[Callable[[str], str]] = ContextVar("said_as", default=str)


def worded(text: str) -> str:
    """Returns a line in the words of whoever is told."""
    return _said_as.get()(text)


@contextlib.contextmanager
def told_as(words: Callable[[str], str]) -> Iterator[None]:
    """Has all that `worded` returns within the block be in these words."""
    before = _said_as.set(words)
    try:
        yield
    finally:
        _said_as.reset(before)


class Keywords:
    """Words for a program: `overwrite=True` for `--overwrite`, `fit(resume="x")` for `resume --out x`."""

    def __init__(self, kinds: Mapping[str, object], others: Mapping[str, str]):
        """Makes what rewords a line.

        Args:
            kinds: The types of options whose keywords are called as they are, by name.
            others: The keywords of options that are called otherwise.
        """
        self.kinds = kinds
        self.others = others

    def __call__(self, text: str) -> str:
        """Returns a line of a command in a program's words."""
        said, position = [], 0
        for command in _COMMAND.finditer(text):
            if command.start() >= position:
                call, end = self._call(command[1], text, command.end())
                said += [self._mentioned(text[position : command.start()]), call]
                position = end
        said.append(self._mentioned(text[position:]))
        return "".join(said).replace("the same command again", "the same call again")

    def _call(self, command: str, text: str, position: int) -> tuple[str, int]:
        """Returns the call that does what a command does whose options begin there, and where they end."""
        given: dict[str, str] = {}
        while option := _OPTION.match(text, position):
            name, position = option[1].replace("-", "_"), option.end()
            value = None if self.kinds.get(name) is bool else _VALUE.match(text, position)
            if value:
                position = value.end()
                word = shlex.split(value[1])[0]
                given[name] = word if self.kinds.get(name) in (int, float) else _quoted(word)
            else:
                given[name] = "True"
        folder = given.pop("out", None)
        path = given.pop("weights", folder or '"."')
        if folder and Path(folder[1:-1]) not in (Path(path[1:-1]), Path(path[1:-1]).parent):
            given["out"] = folder
        more = "".join(f", {name}={value}" for name, value in given.items())
        function = "fit(resume=" if command == "resume" else "show("
        return f"clothinggan.{function}{path}{more})", position

    def _mentioned(self, text: str) -> str:
        """Returns a text whose options are keywords."""

        def keyword(found: re.Match[str]) -> str:
            before, rest = found["with"] or "", found["rest"] or ""
            name = found["name"].replace("-", "_")
            if name not in self.others and name not in self.kinds:
                return found[0]
            if self.kinds.get(name) is bool:
                return f"{before}{name}=True{rest}"
            name = self.others.get(name, name)
            if before and (
                not rest or rest.isupper()
            ):  # Else the value stands there, or the sentence goes on.
                return f"{before}{name}=…"
            return f"{before}{name}{rest}"

        return _MENTIONED.sub(keyword, text)


def _quoted(word: str) -> str:
    return repr(word) if '"' in word or "\\" in word else f'"{word}"'
