"""Put the exhibits before `compare_gradients`: `python -m examples.museum`, or with names of some for whole reports."""

import sys

from . import EXHIBITS, RIGHT, WRONG


def main(names: list[str]) -> None:
    for name in names:
        exhibit = EXHIBITS[name]
        print(f"{exhibit.title}\n{exhibit.project}, {exhibit.number}: {exhibit.link}\n{exhibit.said}\n")
        print(exhibit.compare(), end="\n\n")
    if names:
        return
    for name, exhibit in WRONG.items():
        report = exhibit.compare()
        print(f"{name:32} {'called right' if report.ok else ', '.join(report.kinds)}")
    print("\nand these look wrong:\n")
    for name, exhibit in RIGHT.items():
        print(f"{name:32} {'right' if exhibit.compare().ok else 'called wrong'}: {exhibit.fact}")


if __name__ == "__main__":
    main(sys.argv[1:])
