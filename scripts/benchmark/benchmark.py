"""Measures this project's speed and memory beside the alternatives, all in one run.

    python scripts/benchmark/benchmark.py
    python scripts/benchmark/benchmark.py --models swift --sections step --only ours-float32 limit-float32

What is compared takes turns, round after round, one at a time: what else the machine does, and how
warm it is, then falls on all alike. Each works in a process of its own (`benchmark_workers.py`).
"""

import argparse
import contextlib
import dataclasses
import importlib.util
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmark_workers import GENERATION, LEAST_SECONDS, PROFILES, STEPS, Variant, peak_bytes
from checkout import CHECKOUT
from tables import markdown_table
from workload import IMAGES, Settings, random_images

from clothinggan.__main__ import COMMANDS
from clothinggan.cli.options import integer
from clothinggan.environment import core_count, processor_instructions, processor_name
from clothinggan.presets import PRESETS

WORKERS = Path(__file__).with_name("benchmark_workers.py")
PRECISIONS = ("float32", "bfloat16")
WARM_UPS = 2  # The first builds the graph, the second finds the memory.
LONGEST_WAIT = 600  # seconds for training to report its first steps
MIB = 2**20
TELLING_INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")

Result = dict[str, object]
Results = dict[str, Result]


class NotMeasured(Exception):
    """Why something could not be measured, in a line."""


class Worker:
    """A process that does its work for a turn whenever it is asked."""

    def __init__(self, name: str, settings: Settings):
        """Starts it; it is ready when this returns."""
        self.name = name
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in `close`
        self._process = subprocess.Popen(
            [sys.executable, WORKERS, name, json.dumps(dataclasses.asdict(settings))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment(),
        )
        self.versions = self._answer()["versions"]

    def work(self) -> Result:
        """Has it work for a turn, and returns what `benchmark_workers.timed` says."""
        with contextlib.suppress(BrokenPipeError):  # Its end tells why.
            print("go", file=self._process.stdin, flush=True)
        return self._answer()

    def finish(self) -> int:
        """Ends it, and returns the most memory it held, in bytes."""
        self._process.stdin.close()
        peak = self._answer()["peak_bytes"]
        self._process.wait()  # At its end it clears up behind itself.
        return peak

    def close(self) -> None:
        """Ends it, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        self._errors.close()

    def _answer(self) -> Result:
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait()
            self._errors.seek(0)
            last_lines = self._errors.read().strip().splitlines()[-1:]
            raise NotMeasured(f"ended with status {status}: {''.join(last_lines)}")
        return json.loads(line)


class Benchmark:
    """The measurements of one run, of one design.

    Attributes:
        settings: What the work depends on.
        rounds: How often each takes its turn.
        patience: Seconds after which a variant takes no more turns.
        versions: The libraries that took part, by name.
    """

    def __init__(self, settings: Settings, patience: float, versions: dict[str, str]):
        self.settings = settings
        self.rounds = settings.rounds
        self.patience = patience
        self.versions = versions

    def compare(self, variants: dict[str, Variant]) -> Results:
        """Times variants in alternating rounds.

        Returns:
            For each its times and peak memory, or under "not_measured" the reason why there are none.
        """
        results: Results = {}
        workers: dict[str, Worker] = {}
        with contextlib.ExitStack() as stack:
            for name, variant in variants.items():
                results[name] = {
                    "title": variant.title,
                    "precision": variant.precision,
                    "seconds": [],
                    "others": [],
                }
                say(f"{name}: starting")
                with self._noting_failure(results[name]):
                    workers[name] = self._start(name, variant, stack)
            for each in range(self.rounds):
                for name, worker in list(workers.items()):
                    result = results[name]
                    if sum(result["seconds"]) > self.patience:
                        continue
                    with self._noting_failure(result):
                        answer = worker.work()
                        result["seconds"].append(answer["seconds"])
                        result["others"].append(answer.get("others"))
                        result["details"] = answer["details"]
                        say(f"round {each + 1} of {self.rounds}, {name}: {answer['seconds']:.3f} s")
                    if "not_measured" in result:
                        del workers[name]
            for name, worker in workers.items():
                with self._noting_failure(results[name]):
                    results[name]["peak_bytes"] = worker.finish()
        for result in results.values():
            if "not_measured" not in result:
                summarise(result)
        return results

    def _start(self, name: str, variant: Variant, stack: contextlib.ExitStack) -> Worker:
        if variant.needs and not importlib.util.find_spec(variant.needs):
            raise NotMeasured(f"{variant.needs.replace('_', '-')} is not installed")
        worker = Worker(name, self.settings)
        stack.callback(worker.close)
        self.versions.update(worker.versions)
        started = time.monotonic()
        for _ in range(WARM_UPS):
            worker.work()
            if time.monotonic() - started > self.patience / 2:
                break
        return worker

    @staticmethod
    @contextlib.contextmanager
    def _noting_failure(result: Result) -> Iterator[None]:
        try:
            yield
        except NotMeasured as reason:
            result["not_measured"] = str(reason)
            say(f"not measured: {reason}")

    def steps(self, names: Sequence[str]) -> Result:
        """One whole training step, with what it is compared to."""
        variants = self.compare(
            {name: STEPS[name] for name in names if STEPS[name].only in (None, self.settings.model)}
        )
        for result in variants.values():
            for key, rival in (
                ("times_keras", "keras"),
                ("times_torch", f"torch-{result['precision']}"),
            ):
                ratio = ratio_of_medians(variants.get(rival), result)
                if ratio:
                    result[key] = ratio
            # Without instructions for bfloat16 its products are float32's.
            limits = {"limit-float32", f"limit-{result['precision']}"}
            shares = [ratio_of_medians(variants.get(limit), result) for limit in limits]
            if any(shares):
                result["share_of_limit"] = min(share for share in shares if share)
        flops = [r["details"]["flops"] for n, r in variants.items() if "limit" in n and r.get("details")]
        return {"variants": variants, "flops": flops[0] if flops else None}

    def generation(self) -> Result:
        """Generating many images at once."""
        variants = self.compare(GENERATION)
        for result in variants.values():
            if "median" in result:
                result["images_per_second"] = self.settings.generate / result["median"]
        return {"variants": variants, "images": self.settings.generate}

    def startup(self, data: Path) -> Result:
        """The time of whole commands, from the shell to their end."""
        with tempfile.TemporaryDirectory() as folder:
            say("training a little, for a file to display")
            few = ["--examples", 16, "--batch-size", 8, "--epochs", 1]
            run_quietly(ours("train", "--model", self.settings.model, "--data", data, *few, "--out", folder))
            weights = Path(folder, f"{self.settings.preset.file_prefix}latest.h5")
            commands = {
                "python": [sys.executable, "-c", "pass"],
                "import tensorflow": [sys.executable, "-c", "import tensorflow"],
                **{f"{name} --help": ours(name, "--help") for name in COMMANDS},
                "display, three pictures": ours("display", "--weights", weights, "--save", folder),
            }
            seconds: dict[str, list[float]] = {name: [] for name in commands}
            for each in range(1 + self.rounds):
                for name, command in commands.items():
                    started = time.perf_counter()
                    run_quietly(command)
                    if each > 0:  # The first finds the files in no cache.
                        seconds[name].append(time.perf_counter() - started)
                say(f"start-up, round {each} of {self.rounds}")
        results = {name: summarise({"seconds": taken}) for name, taken in seconds.items()}
        return {"variants": results}

    def memory(self, data: Path) -> Result:
        """The most memory that training holds, in the two precisions."""
        model = self.settings.model
        return {"variants": {precision: peak_of_training(model, data, precision) for precision in PRECISIONS}}

    def profile(self, precision: str) -> Result:
        """Where a step's time goes."""
        name = f"profile-{precision}"
        # One turn: the worker alternates between the parts by itself.
        once = Benchmark(self.settings, self.patience, self.versions)
        once.rounds = 1
        result = once.compare({name: PROFILES[name]})[name]
        return {"precision": precision, **(result.get("details") or result)}


def peak_of_training(model: str, data: Path, precision: str) -> Result:
    """Trains on all images until the first report, half a minute or more, and stops as Ctrl-C does."""
    say(f"training on all images, {precision}: half a minute")
    with tempfile.TemporaryDirectory() as folder:
        options = ["--model", model, "--data", data, "--precision", precision, "--epochs", 1]
        command = ours("train", *options, "--out", folder)
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment()
        )
        too_long = threading.Timer(LONGEST_WAIT, process.kill)
        too_long.daemon = True  # A Ctrl-C here does not wait for it.
        too_long.start()
        with process:
            reported = next((line for line in process.stdout if line.startswith("epoch 1/1, step")), None)
            too_long.cancel()
            if reported:
                process.send_signal(signal.SIGINT)
            process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
    if reported is None:
        return {"not_measured": f"training ended with status {process.returncode} and reported no step"}
    return {"peak_bytes": peak_bytes(usage), "until": reported.split(":")[0]}


def ours(name: str, *arguments: object) -> list[str]:
    """The command line of one of our commands."""
    return [sys.executable, "-m", f"clothinggan.{name}", *map(str, arguments)]


def run_quietly(command: list[str]) -> None:
    """Runs a command to its end, which must be a good one."""
    done = subprocess.run(command, capture_output=True, text=True, env=environment())
    if done.returncode:
        last_lines = done.stderr.strip().splitlines()[-1:]
        raise NotMeasured(f"{command[1:]} ended with status {done.returncode}: {''.join(last_lines)}")


def environment() -> dict[str, str]:
    """The environment of what is measured: this checkout before any installed one."""
    path = os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path}


def summarise(result: Result) -> Result:
    """Adds median and spread of its seconds to a result, and how busy other processes were."""
    seconds = result["seconds"]
    result.update(median=statistics.median(seconds), fastest=min(seconds), slowest=max(seconds))
    told = [share for share in result.pop("others", []) if share is not None]
    if told:
        result["others"] = statistics.median(told)
    return result


def ratio_of_medians(result: Result | None, other: Result) -> float | None:
    """How many times as long as the other a result takes; None where one has not been measured."""
    if result and "median" in result and "median" in other:
        return result["median"] / other["median"]
    return None


# The machine.


def describe_machine() -> Result:
    """The processor and what it can do."""
    instructions = processor_instructions()
    return {
        "processor": processor_name(),
        "threads": core_count(),
        "instructions": [name for name in TELLING_INSTRUCTIONS if name in instructions],
        "system": platform.platform(terse=True),
    }


# The report.


def cell(result: Result, key: str, show: Callable[[float], str]) -> str:
    """A number of a result as text; empty where there is none."""
    return show(result[key]) if key in result else ""


def milliseconds(seconds: float) -> str:
    """Seconds as milliseconds, with a decimal where there are few."""
    return f"{seconds * 1000:,.{1 if seconds < 0.1 else 0}f}"


def spread(result: Result) -> str:
    """The fastest and the slowest time, in milliseconds."""
    return f"{milliseconds(result['fastest'])} to {milliseconds(result['slowest'])}"


def times(ratio: float) -> str:
    """A ratio, as a factor."""
    return f"{ratio:.2f} x"


def mebibytes(count: float) -> str:
    """Bytes in MiB."""
    return f"{count / MIB:,.0f}"


def measured(results: Results) -> Results:
    """Those results that there are numbers of."""
    return {name: result for name, result in results.items() if "not_measured" not in result}


def label(result: Result) -> str:
    """A variant's title and precision."""
    return f"{result['title']}, {result['precision']}"


def step_lines(section: Result, settings: Settings) -> Iterator[str]:
    """The report on training steps."""
    flops = f", {section['flops'] / 1e9:.1f} GFLOP" if section["flops"] else ""
    yield f"One training step of {settings.model}, {settings.batch_size} real images{flops}"
    yield markdown_table(
        ["", "ms", "fastest to slowest", "rounds", "Keras", "PyTorch", "limit", "peak MiB"],
        [
            [
                label(result),
                milliseconds(result["median"]),
                spread(result),
                str(len(result["seconds"])),
                cell(result, "times_keras", times),
                cell(result, "times_torch", times),
                cell(result, "share_of_limit", "{:.0%}".format),
                cell(result, "peak_bytes", mebibytes),
            ]
            for result in measured(section["variants"]).values()
        ],
    )
    yield (
        f"ms: the median of the rounds; each is the mean over {LEAST_SECONDS:g} s, or over one step. "
        "Keras: the median of its plain way divided by this one; PyTorch: PyTorch's of the same precision "
        "divided by this one. limit: how much of its speed is reached, in float32 or the same precision, "
        "whichever is faster."
    )
    yield from remarks(section["variants"], settings)


def remarks(results: Results, settings: Settings) -> Iterator[str]:
    """What a reader has to know about results: fewer rounds, other load, what is missing."""
    for name, result in results.items():
        if "not_measured" in result:
            yield f"{name} was not measured: {result['not_measured']}"
        elif len(result["seconds"]) < settings.rounds:
            yield f"{name} is so slow that it had {len(result['seconds'])} rounds, not {settings.rounds}"
    shares = [result["others"] for result in measured(results).values() if "others" in result]
    if shares and max(shares) >= 0.02:
        yield (
            f"NOISE: other processes took {min(shares):.0%} to {max(shares):.0%} of the processors; "
            "on an idle machine these times are other ones"
        )


def generation_lines(section: Result, settings: Settings) -> Iterator[str]:
    """The report on generation."""
    yield f"Generating {section['images']:,} images with {settings.model}"
    results = measured(section["variants"])
    yield markdown_table(
        ["", "images a second", "ms", "fastest to slowest", "against predict", "peak MiB"],
        [
            [
                label(result),
                f"{result['images_per_second']:,.0f}",
                milliseconds(result["median"]),
                spread(result),
                times(ratio) if (ratio := ratio_of_medians(results.get("predict"), result)) else "",
                cell(result, "peak_bytes", mebibytes),
            ]
            for result in results.values()
        ],
    )
    yield from remarks(section["variants"], settings)


def startup_lines(section: Result, settings: Settings) -> Iterator[str]:
    """The report on start-up times."""
    yield f"From the shell to the end of a command, with {settings.model}"
    results = section["variants"]
    yield markdown_table(
        ["", "ms", "fastest to slowest", "more than import tensorflow"],
        [
            [
                name,
                milliseconds(result["median"]),
                spread(result),
                f"{milliseconds(result['median'] - results['import tensorflow']['median'])} ms",
            ]
            for name, result in results.items()
        ],
    )


def memory_lines(section: Result, settings: Settings) -> Iterator[str]:
    """The report on memory."""
    yield f"Peak memory of training {settings.model}, {IMAGES:,} images unless --data says otherwise"
    yield markdown_table(
        ["", "peak MiB", "until"],
        [
            [precision, mebibytes(result["peak_bytes"]), result["until"]]
            for precision, result in measured(section["variants"]).items()
        ],
    )
    for precision, result in section["variants"].items():
        if "not_measured" in result:
            yield f"{precision} was not measured: {result['not_measured']}"


def profile_lines(section: Result, settings: Settings) -> Iterator[str]:
    """The report on where the time goes."""
    yield f"Where the time of a step of {settings.model} goes, {section['precision']}"
    if "not_measured" in section:
        yield f"not measured: {section['not_measured']}"
        return
    whole, limit, *parts = section["parts"]
    rest = whole["seconds"] - sum(part["seconds"] for part in parts)
    parts = [*sorted(parts, key=lambda part: -part["seconds"]), {"part": "all else", "seconds": rest}]
    yield markdown_table(
        ["each part as a graph of its own", "ms", "of the step", "GFLOP", "of the limit"],
        [
            [
                row["part"],
                f"{row['seconds'] * 1000:.1f}",
                f"{row['seconds'] / whole['seconds']:.1%}",
                f"{row['flops'] / 1e9:.2f}" if row.get("flops") else "",
                f"{row['flops'] / row['seconds'] / (limit['flops'] / limit['seconds']):.0%}"
                if row.get("flops")
                else "",
            ]
            for row in [whole, limit, *parts]
        ],
    )
    yield (
        "all else: losses, labels, the images, casts; less what TensorFlow saves by joining parts in one "
        "graph, so it can be less than nothing"
    )


LINES = {
    "step": step_lines,
    "generation": generation_lines,
    "startup": startup_lines,
    "memory": memory_lines,
    "profile": profile_lines,
}


def report(results: Result, all_settings: Sequence[Settings]) -> str:
    """All that has been measured, as Markdown for a person to read."""
    machine = results["machine"]
    instructions = ", ".join(machine["instructions"])
    paragraphs = [
        f"Machine: {machine['processor']}, {machine['threads']} threads"
        f"{f' ({instructions})' if instructions else ''}, {machine['system']}",
        "Versions: " + ", ".join(f"{name} {version}" for name, version in results["versions"].items()),
    ]
    if machine["instructions"] and not any("bf16" in name for name in machine["instructions"]):
        paragraphs.append("This processor has no instructions for bfloat16: float32 computes its products.")
    for settings in all_settings:
        sections = results[settings.model]
        for name, lines in LINES.items():
            if name in sections:
                paragraphs += lines(sections[name], settings)
    return "\n\n".join(paragraphs)


def say(line: str) -> None:
    """Reports progress."""
    print(line, file=sys.stderr, flush=True)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="python scripts/benchmark/benchmark.py", description=__doc__.split("\n")[0]
    )
    parser.add_argument(
        "--models",
        nargs="+",
        choices=list(PRESETS),
        default=["swift", "clothing"],
        help="the designs to measure; a step of fashion takes many seconds (default: swift clothing)",
    )
    parser.add_argument(
        "--sections",
        nargs="+",
        metavar="NAME",
        choices=[name for name in LINES if name != "profile"],
        help="what to measure: step, generation, startup, memory (default: all)",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="NAME",
        choices=list(STEPS),
        default=list(STEPS),
        help=f"the steps to compare, of: {', '.join(STEPS)} (default: all)",
    )
    parser.add_argument(
        "--profile",
        nargs="?",
        choices=PRECISIONS,
        const=PRECISIONS[0],
        help="also show where the time of a step goes; without --sections, only that",
    )
    parser.add_argument(
        "--rounds", type=integer(1), default=7, help="how often each takes its turn (default: 7)"
    )
    parser.add_argument(
        "--patience",
        metavar="SECONDS",
        type=integer(1),
        default=60,
        help="a step that has taken so long in all takes no more turns (default: 60)",
    )
    parser.add_argument(
        "--batch-size", metavar="N", type=integer(1), help="real images a step (default: the design's)"
    )
    parser.add_argument(
        "--generate", metavar="N", type=integer(1), default=1000, help="images to generate (default: 1000)"
    )
    parser.add_argument(
        "--data",
        metavar="NPZ",
        type=Path,
        help=f"images for the commands that take some (default: {IMAGES:,} images of noise)",
    )
    parser.add_argument("--json", metavar="FILE", help="write all numbers there; - is standard output, alone")
    arguments = parser.parse_args(argv)
    if arguments.sections is None:
        arguments.sections = [] if arguments.profile else [name for name in LINES if name != "profile"]
    return arguments


@contextlib.contextmanager
def images_file(data: Path | None) -> Iterator[Path]:
    """The file to train on: the given one, or noise for the time being."""
    if data:
        yield data.resolve()
        return
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "noise.npz")
        np.savez(path, x_train=random_images(IMAGES))
        yield path


def measure(arguments: argparse.Namespace, all_settings: Sequence[Settings]) -> Result:
    """Measures what the options say; leaves out, with a line that says why, what cannot be measured."""
    versions: dict[str, str] = {}
    results: Result = {
        "machine": describe_machine(),
        "settings": [dataclasses.asdict(settings) for settings in all_settings],
        "missing": [],
    }
    with contextlib.ExitStack() as stack:
        if {"startup", "memory"} & set(arguments.sections):
            data = stack.enter_context(images_file(arguments.data))
        for settings in all_settings:
            benchmark = Benchmark(settings, arguments.patience, versions)
            wanted: dict[str, Callable[[], Result]] = {
                "step": lambda benchmark=benchmark: benchmark.steps(arguments.only),
                "generation": benchmark.generation,
                "startup": lambda benchmark=benchmark: benchmark.startup(data),
                "memory": lambda benchmark=benchmark: benchmark.memory(data),
                "profile": lambda benchmark=benchmark: benchmark.profile(arguments.profile),
            }
            found = results[settings.model] = {}
            for section in asked_for(arguments):
                if section == "startup" and settings is not all_settings[0]:
                    continue  # It hardly depends on the design.
                try:
                    found[section] = wanted[section]()
                except NotMeasured as reason:
                    results["missing"].append(f"{settings.model}, {section}")
                    say(f"benchmark: error: {settings.model}, {section}: {reason}")
    results["versions"] = versions or {"python": platform.python_version()}
    return results


def asked_for(arguments: argparse.Namespace) -> list[str]:
    """The sections that the options ask for, in the report's order."""
    wanted = {*arguments.sections, *(["profile"] if arguments.profile else [])}
    return [name for name in LINES if name in wanted]


def main(argv: Sequence[str] | None = None) -> int:
    """Measures and reports; returns the exit status."""
    arguments = parse(argv)
    all_settings = [
        Settings(
            model, arguments.batch_size or PRESETS[model].batch_size, arguments.generate, arguments.rounds
        )
        for model in arguments.models
    ]
    try:
        results = measure(arguments, all_settings)
    except KeyboardInterrupt:
        return 130
    if arguments.json == "-":
        print(json.dumps(results, indent=2))
    else:
        print(report(results, all_settings))
        if arguments.json:
            Path(arguments.json).write_text(json.dumps(results, indent=2) + "\n")
    return 1 if results["missing"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
