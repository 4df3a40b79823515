"""Give the exhibits to `compare_gradients`: `python -m examples.museum`; with names it prints their whole reports."""

import sys

from . import EXHIBITS, RIGHT, WRONG, report


def main(names: list[str]) -> None:
    for name in names:
        exhibit = EXHIBITS[name]
        print(f"{exhibit.title}\n{exhibit.project}, {exhibit.number}: {exhibit.link}\n{exhibit.said}\n")
        print(report(name), end="\n\n")
    if names:
        return
    for name in WRONG:
        found = report(name)
        print(f"{name:32} {'called right' if found.ok else ', '.join(found.kinds)}")
    print("\nand these look wrong:\n")
    for name, exhibit in RIGHT.items():
        print(f"{name:32} {'right' if report(name).ok else 'called wrong'}: {exhibit.fact}")


if __name__ == "__main__":
    main(sys.argv[1:])
