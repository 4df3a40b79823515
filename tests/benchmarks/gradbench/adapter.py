"""The protocol of GradBench on standard input and output: `python -m tests.benchmarks.gradbench.adapter --mode eager`.

A message is one line of JSON, and so is its answer, which has the message's `id`. `define` asks for an evaluation by
the name of its `module`, `evaluate` for one of its functions on an `input`; all else is only acknowledged.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .evaluations import EVALUATIONS
from .ours import MODES, task

Message = Mapping[str, Any]


def answers(lines: Iterable[str], mode: str = "eager") -> Iterator[str]:
    """Return the answers to messages, a line each.

    Raises:
        ValueError: a line is no message, so that nothing could be answered to it.
    """
    for line in lines:
        if line.strip():
            message = read(line)
            yield json.dumps({"id": message["id"], **answer(message, mode)}, allow_nan=False)


def read(line: str) -> dict[str, Any]:
    """Return the message in a line."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:  # also an integer of thousands of digits, and lists too deep to read
        raise ValueError(f"a message is one line of JSON; this is none, {error}: {line.strip()[:80]}") from None
    if not isinstance(message, dict):
        raise ValueError(f'a message is an object such as {{"id": 0, "kind": "start"}}; this is {line.strip()[:80]}')
    for key, kind in (("id", int), ("kind", str)):
        if not isinstance(message.get(key), kind) or isinstance(message[key], bool):
            what = f"{key} is {json.dumps(message[key])[:80]}" if key in message else f"it has no {key}"
            raise ValueError(f'a message needs "id", a whole number, and "kind", a text; {what}: {line.strip()[:80]}')
    return message


def answer(message: Message, mode: str) -> dict[str, Any]:
    """Return the answer to a message, without its id."""
    if message["kind"] == "start":
        return {"tool": "tinygrad_nn", "config": {"mode": mode}}
    if message["kind"] not in ("define", "evaluate"):
        return {}
    try:
        if message["kind"] == "define":
            named(message, "module", EVALUATIONS)
            return {"success": True}
        return evaluated(message, mode)
    except Refused as error:
        return {"success": False, "error": str(error)}
    except Exception as error:  # whatever an input brings about is told to the evaluation, which goes on
        return {"success": False, "error": f"{type(error).__name__}: {error}"}


class Refused(Exception):
    """A message that asks for what is not there; its text says what is."""


def named(message: Message, key: str, known: Mapping[str, Any]) -> Any:
    """Return what the message names under this key."""
    name = message.get(key)
    if not isinstance(name, str) or name not in known:
        raise Refused(f"{key} is {json.dumps(name)[:80]}; known are {', '.join(known)}")
    return known[name]


def evaluated(message: Message, mode: str) -> dict[str, Any]:
    """Run a function as often and as long as its input says."""
    evaluation = named(message, "module", EVALUATIONS)
    named(message, "function", evaluation.functions)
    if "input" not in message:
        raise Refused('an evaluate message needs "input"')
    given = message["input"]
    runs = given if isinstance(given, dict) else {}
    least, seconds = number(runs, "min_runs", 1), number(runs, "min_seconds", 0)
    try:
        one = task(message["module"], message["function"], given, mode)
    except KeyError as error:
        has = ", ".join(runs) if runs else json.dumps(given)[:80]
        raise Refused(f"the input of {message['module']} needs {error.args[0]}; it has {has or 'nothing'}") from None
    except (TypeError, IndexError):
        if message["module"] == "hello" or isinstance(given, dict):
            raise
        raise Refused(f"the input of {message['module']} must be an object; it is {json.dumps(given)[:80]}") from None
    timings = []
    if one.compile is not None:
        try:  # and a first run, which allocates memory
            timings.append({"name": "compile", "nanoseconds": _timed(lambda: (one.compile(), one.run()))[1]})
        except RuntimeError:  # a warning on standard error says why
            one = task(message["module"], message["function"], given, "eager")
    spent, count, result = 0, 0, None
    while count < max(1, least) or spent < seconds * 1e9:
        result, nanoseconds = _timed(one.run)
        timings.append({"name": "evaluate", "nanoseconds": nanoseconds})
        spent, count = spent + nanoseconds, count + 1
    output = one.show(result)
    try:
        json.dumps(output, allow_nan=False)
    except ValueError:
        raise Refused("the result has numbers that are not finite, which JSON cannot hold") from None
    return {"success": True, "output": output, "timings": timings}


def number(runs: Mapping[str, Any], key: str, default: float) -> float:
    """Return how many runs or seconds an input asks for."""
    value = runs.get(key, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise Refused(f"{key} is {json.dumps(value)[:80]}; it must be a finite number")
    return value


def _timed(run: Any) -> tuple[Any, int]:
    start = time.perf_counter_ns()
    result = run()
    return result, time.perf_counter_ns() - start


def main(arguments: list[str] | None = None) -> None:
    """Answer until the input ends."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.gradbench.adapter", description=__doc__)
    parser.add_argument("--mode", choices=MODES, default="eager")
    options = parser.parse_args(arguments)
    protocol = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # standard output has answers alone; C code that prints, too
    sys.stdout.reconfigure(line_buffering=True)  # as standard error, so that lines keep their order
    try:
        for line in answers(sys.stdin, options.mode):
            print(line, file=protocol, flush=True)
    except (BrokenPipeError, KeyboardInterrupt):  # the evaluation has ended
        os._exit(0)  # without writing what is left to a closed pipe
    except ValueError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
