"""What pictures and lines call a run's state: design, epoch, time of training."""

from clothinggan.checkpoint.record import Record


def title_of(record: Record) -> str:
    """Returns a run's state as a title: 'swift, epoch 5, 3 min'."""
    where = f"epoch {record.epoch}"
    if record.step_in_epoch:
        where = f"step {record.step_in_epoch} of epoch {record.epoch + 1}"
    return title(record.preset, where, trained_seconds(record))


def title(design: str, where: str, seconds: float) -> str:
    """Returns a title: what was trained, until when, for how long."""
    return f"{design}, {where}, {duration(seconds)}"


def trained_seconds(record: Record) -> float:
    """Returns how long a run has trained."""
    return sum(entry["seconds"] for entry in record.history) + record.seconds_in_epoch


def duration(seconds: float) -> str:
    """Returns seconds as a person says them: '45 s', '12 min', '3 h 20 min'."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{round(seconds)} s"
    if minutes < 100:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
