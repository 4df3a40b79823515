"""Judge families of students' solutions: ``python -m tests.students [family ...] [--seeds N] [--failures]``."""

import argparse
import time
from collections import Counter

from tests.students import operations, perceptrons
from tests.students.families import CASES, FAMILIES
from tests.students.judge import alarm, judge

OPERATIONS = sorted({f"operations: {case.family}" for case in operations.cases()})


def row(family: str, runs: int, alarms: int, words: Counter[str], other: int, seconds: float) -> str:
    """A line of the table."""
    return (f"{family:24} {runs:6} {alarms:6} | {words.total():5} {words['right']:12} {words['named']:5} "
            f"{words['mended']:6} {words['located']:7} {words['unknown']:7} {words['raised']:6} | "
            f"{other:11} {seconds:7.0f}")


def judge_operations(family: str, seeds: int, everything: bool) -> tuple[str, list[str]]:
    """The line of a family of operations, and notes."""
    began, words, notes, runs, alarms = time.perf_counter(), Counter[str](), [], 0, 0
    for case in operations.cases():
        if family == f"operations: {case.family}" and case.mistake:
            word, said = operations.verdict(case)
            words[word] += 1
            if everything or word in ("right", "unknown", "raised"):
                notes.append(f"{word.upper()} {case.name}: {case.mistake}: {said}")
        elif family == f"operations: {case.family}":
            for seed in range(seeds):
                runs += 1
                if said := operations.alarm(case, seed):
                    alarms += 1
                    notes.append(f"ALARM {case.name}, seed {seed}: {said}")
    return row(family, runs, alarms, words, 0, time.perf_counter() - began), notes


def judge_perceptrons(seeds: int, everything: bool) -> tuple[str, list[str]]:
    """The line of perceptrons, and notes."""
    began, words, notes, runs, alarms = time.perf_counter(), Counter[str](), [], 0, 0
    for mistake in perceptrons.every(max(seeds, 1)):
        word, said = perceptrons.verdict(mistake)
        words[word] += 1
        if everything or word != "named":
            notes.append(f"{word.upper()} {mistake.label}: {said}")
        runs += 1
        if said := perceptrons.alarm(mistake):
            alarms += 1
            notes.append(f"ALARM {mistake.setting}, seed {mistake.seed}: {said}")
    return row("perceptrons", runs, alarms, words, 0, time.perf_counter() - began), notes


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.students", description=__doc__)
    known = ", ".join([*FAMILIES, *OPERATIONS, "perceptrons"])
    parser.add_argument("families", nargs="*", help=f"of {known}; a part of the name is enough")
    parser.add_argument("--seeds", type=int, default=3, help="inputs for each piece of right work")
    parser.add_argument("--failures", action="store_true", help="list alarms, and mistakes called right or not found")
    parser.add_argument("--all", action="store_true", help="list each mistake with what was said")
    asked = parser.parse_args()
    heads = "wrong called-right named mended located unknown raised | other-first seconds"
    print(f"{'family':24} {'right':>6} alarms | {heads}")
    for family in FAMILIES:
        if asked.families and not any(part in family for part in asked.families):
            continue
        began, notes = time.perf_counter(), []
        words: Counter[str] = Counter()
        runs = alarms = other = 0
        seen = set()
        for case in (c for c in CASES if c.family == family):
            if (case.work, case.edited, case.family != "makemore" and case.name) not in seen:
                seen.add((case.work, case.edited, case.family != "makemore" and case.name))
                for seed in range(asked.seeds):
                    runs += 1
                    if said := alarm(case, seed):
                        alarms += 1
                        notes.append(f"ALARM {case.name}, seed {seed}: {said}")
            for mistake in case.mistakes:
                verdict = judge(case, mistake)
                words[verdict.word] += 1
                other += not verdict.first
                if asked.all or verdict.word in ("right", "unknown", "raised") or not verdict.first:
                    planted = f"{mistake.old!r} -> {mistake.new!r} ({mistake.tag})"
                    notes.append(f"{verdict.word.upper()} {case.name}: {planted}: {verdict.said}")
        print(row(family, runs, alarms, words, other, time.perf_counter() - began))
        if asked.failures or asked.all:
            print(*(f"    {note[:900]}" for note in notes), sep="\n")
    for family in OPERATIONS:
        if not asked.families or any(part in family for part in asked.families):
            line, notes = judge_operations(family, asked.seeds, asked.all)
            print(line)
            if asked.failures or asked.all:
                print(*(f"    {note[:900]}" for note in notes), sep="\n")
    if not asked.families or any(part in "perceptrons" for part in asked.families):
        line, notes = judge_perceptrons(asked.seeds, asked.all)
        print(line)
        if asked.failures or asked.all:
            print(*(f"    {note[:900]}" for note in notes), sep="\n")


main()
