"""What `evaluate` reports: the measures of files beside their reference lines, as tables or as JSON."""

import dataclasses
import json
from collections.abc import Callable, Collection, Sequence

import numpy as np

from clothinggan.errors import shown
from clothinggan.evaluation.evaluator import FEWEST_FOR_KERNEL_DISTANCE, IMAGES, Scores

# What columns say: the titles that a paragraph is about, and the paragraph.
EXPLANATIONS = {
    ("FCD", "KCD"): """\
FCD, KCD: Fréchet and kernel distance (KCD times 1000, with its standard error) in the features of the
  classifier. They are not Inception FID and KID, and compare only with numbers from the same classifier,
  the same test images and as many generated ones. Lower is better.""",
    ("precision", "density", "recall", "coverage"): """\
precision: how many generated images look real; more than of training images is more typical, not better.
  density: the same, counted by how many real ones each is near to, about 1 for real images. coverage: how
  many real images have a generated one near; recall: the same, where torn images count as near to more.""",
    ("sure",): "sure: the classifier's mean certainty.",
    ("near", "copies"): """\
near: median distance to the nearest training image, divided by that of unseen test images; far above 1,
  images lie beside what is real; far below, with many copies, it may mean memorising, or blur: look at
  them. copies: share of images that are nearer to a training image than 99 % of the test images are. A
  copy that was moved by a pixel, or has speckles, is not near.""",
    ("confirmed",): """\
confirmed: of the images drawn for a class, how many the classifier takes for it; of training images, how
  many of each class it recognises.""",
    ("told apart",): """\
told apart: how often a small network that is trained for it tells unseen generated images from real ones;
  at 50 % it finds no difference. It can see what the classifier's features do not, but no copies of
  training images.""",
    ("GAN-train",): """\
GAN-train: how many real test images a network recognises that has learned from the generated ones alone;
  for training images, from as many real ones.""",
    ("D real", "D fake"): """\
D real, D fake: how often the file's own discriminator is right on real and on generated images;
  empty where there is none in the file. Guessing adds up to 100 %, as 100 and 0 do.""",
}
# The table's columns: each score's title, and its text.
COLUMNS: dict[str, tuple[str, Callable[[Scores], str]]] = {
    "fcd": ("FCD", lambda s: f"{s.fcd:.3f}"),
    "kcd": ("KCD", lambda s: f"{1000 * s.kcd:.2f} ± {1000 * s.kcd_error:.2f}"),
    "told_apart": ("told apart", lambda s: f"{s.told_apart:.1%} ± {s.told_apart_error:.1%}"),
    "gan_train": ("GAN-train", lambda s: f"{s.gan_train:.1%} ± {s.gan_train_error:.1%}"),
    "precision": ("precision", lambda s: f"{s.precision:.3f}"),
    "recall": ("recall", lambda s: f"{s.recall:.3f}"),
    "density": ("density", lambda s: f"{s.density:.3f}"),
    "coverage": ("coverage", lambda s: f"{s.coverage:.3f}"),
    "confidence": ("sure", lambda s: f"{s.confidence:.3f}"),
    "nearness": ("near", lambda s: f"{s.nearness:.3f}"),
    "copies": ("copies", lambda s: f"{s.copies:.1%}"),
}
# What is better where one can say so: more of this, of a score and that of training images in its place. Of
# recall one cannot: torn images can raise it.
BETTER: dict[str, Callable[[float, float], float]] = {
    "fcd": lambda score, _: -score,
    "kcd": lambda score, _: -score,
    "told_apart": lambda score, _: -abs(score - 0.5),
    "gan_train": lambda score, _: score,
    "precision": lambda score, of_training: -abs(score - of_training),  # Above it is more typical, no better.
    "density": lambda score, _: -abs(score - 1),
    "coverage": lambda score, _: score,
}
MAX_CLASS_COLUMNS = 16  # of the tables of classes
MAX_CLASS_LINES = 40


def best_of(column: str, scores: Sequence[float | None], of_training: float | None) -> int | None:
    """Returns which of these is best by a column of `BETTER`: its place; None where none was measured.

    Args:
        column: The column.
        scores: Those of the files; None for one that was not measured.
        of_training: That of training images in the place of generated ones.
    """
    measured = [place for place, score in enumerate(scores) if score is not None]
    return max(measured, key=lambda place: BETTER[column](scores[place], of_training), default=None)


def explanation(titles: Collection[str]) -> str:
    """Returns what the columns of these titles say."""
    return "\n".join(text for about, text in EXPLANATIONS.items() if not set(about).isdisjoint(titles))


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of the table.

    Attributes:
        name: The file, or what stands in its place.
        epoch: Epochs completed; None for a reference.
        scores: How good its images are.
        discriminator: Its discriminator's accuracy on real and on generated images, if it has one.
        images: The first of its images, (n, 28, 28) float32 in [0, 1]; None for a reference.
        title: What a picture of it is called.
        step_in_epoch: Steps done of the epoch that is not complete.
    """

    name: str
    epoch: int | None
    scores: Scores
    discriminator: tuple[float, float] | None = None
    images: np.ndarray | None = None
    title: str = ""
    step_in_epoch: int = 0


@dataclasses.dataclass(frozen=True)
class Report:
    """The measures of some files.

    Attributes:
        lines: One for each file.
        references: Training images, and then noise, in the place of generated images.
        source: Where the real images come from.
        count: How many images were compared with as many real ones.
        quick: Whether what trains a network was left out.
        class_names: The classes' names.
        seen_by: Whose features the images were compared in, for a person to read.
        classifier: Which classifier that was, for a program.
    """

    lines: list[Line]
    references: list[Line]
    source: str
    count: int
    quick: bool
    class_names: tuple[str, ...]
    seen_by: str
    classifier: str

    def best(self, column: str) -> Line | None:
        """Returns the line that is best by a column of `BETTER`; None where it is not measured."""
        scores = [getattr(line.scores, column) for line in self.lines]
        place = best_of(column, scores, getattr(self.references[0].scores, column))
        return None if place is None else self.lines[place]

    def as_table(self) -> str:
        """Returns the measures as tables for a terminal, with what their columns are."""
        lines, references = self.lines, self.references
        best = {column: self.best(column) for column in BETTER} if len(lines) > 1 else {}

        def cell(line: Line, column: str, text: str) -> str:
            return text + (" *" if best.get(column) is line else "  " if best.get(column) else "")

        columns = {
            name: column
            for name, column in COLUMNS.items()
            if any(getattr(line.scores, name) is not None for line in [*lines, *references])
        }
        rows = [["", "epoch", *(title for title, _ in columns.values()), "D real", "D fake"]]
        for line in [*lines, *references]:
            numbers = (
                cell(line, column, "" if getattr(line.scores, column) is None else text(line.scores))
                for column, (_, text) in columns.items()
            )
            accuracies = [f"{share:.1%}" for share in line.discriminator or ()] or ["", ""]
            epoch = "" if line.epoch is None else str(line.epoch)
            if line.step_in_epoch:
                epoch = f"{line.epoch + 1}, step {line.step_in_epoch}"
            rows.append([shown(line.name), epoch, *numbers, *accuracies])
        titles = set(rows[0])
        names = [shown(name.split("/")[0]) for name in self.class_names]
        shares = [["share of", *names]]
        shares += [
            [shown(line.name), *(f"{share:.1%}" for share in line.scores.class_shares)]
            for line in [*lines, *references]
        ]
        parts = [
            f"{self.count:,} generated images against as many test images of {shown(self.source)}, seen by "
            f"{self.seen_by}",
            _align(rows),
            _align(_in_columns(shares)),
        ]
        if any(line.scores.confirmed for line in lines):
            confirmed = [["confirmed", *shares[0][1:]]]
            confirmed += [
                [
                    shown(line.name),
                    *("" if share is None else f"{share:.1%}" for share in line.scores.confirmed),
                ]
                for line in [*lines, *references]
                if line.scores.confirmed
            ]
            parts.append(_align(_in_columns(confirmed)))
            titles.add("confirmed")
        if len(lines) > 1:
            parts.append(
                "* the best of its column (of precision the nearest to that of training images, of density "
                "to 1); columns can disagree: see what each says"
            )
        if self.count < IMAGES:
            kernel_distance = (
                "KCD can be below 0"
                if "kcd" in columns
                else f"KCD is left out, since it needs {FEWEST_FOR_KERNEL_DISTANCE:,} images"
            )
            parts.append(
                f"With {self.count:,} images of each kind, and not {IMAGES:,}, these numbers are rough: FCD "
                f"is biased upwards, {kernel_distance}, and chance moves all. Before you call one of two "
                "files better, compare them with --seed 0, 1, 2, 3 and 4: it should be better with each. "
                "(So few test images, which stay the same, may still favour one file by chance.)"
            )
        return "\n\n".join([*parts, explanation(titles)])

    def as_json(self) -> str:
        """Returns the measures as JSON."""
        report = {
            "data": self.source,
            "images": self.count,
            "classifier": self.classifier,
            "seen_by": self.seen_by,
            "classes": list(self.class_names),
            "best": {column: line.name for column in BETTER if (line := self.best(column))},
            "files": [self.entry(line) for line in self.lines],
            "references": [self.entry(line) for line in self.references],
        }
        return json.dumps(report, indent=2)

    @staticmethod
    def entry(line: Line) -> dict[str, object]:
        """Returns the measures of one line, by name."""
        accuracies = line.discriminator or (None, None)
        return {
            "name": line.name,
            "epoch": line.epoch,
            **dataclasses.asdict(line.scores),
            "accuracy_real": accuracies[0],
            "accuracy_fake": accuracies[1],
        }


def _in_columns(rows: list[list[str]]) -> list[list[str]]:
    """A table of many classes with a line for each, and not a column; of hundreds the first ones."""
    if len(rows[0]) <= MAX_CLASS_COLUMNS:
        return rows
    lines = [list(column) for column in zip(*rows, strict=True)]
    more = len(lines) - 1 - MAX_CLASS_LINES
    if more <= 0:
        return lines
    rest = [f"and {more:,} more: --json has them", *[""] * (len(rows) - 1)]
    return [*lines[: 1 + MAX_CLASS_LINES], rest]


def _align(rows: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
