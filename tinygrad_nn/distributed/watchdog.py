"""A process that watches the ranks of a host and reports which one died.

The other ranks cannot report it, because mpiexec kills them then. The process is started as
``python -S -E watchdog.py WHO...``, with one text per rank that begins with its process id. It writes a byte as soon as
it watches all ranks, and ends silently when it reads a byte from its standard input.
"""

import os
import select
import sys

AFTER = (
    "is gone: it was killed, or ended without Python. All ranks stop. A written checkpoint is complete; continue from "
    "it with resume=True.\n"
)


def watch_processes(ranks: list[str]) -> str:
    """Wait until one of these processes dies and return the message about it, or ``''`` if told to end."""
    poll, names, living, dead = select.poll(), {}, {}, set()
    poll.register(0, select.POLLIN)
    for who in ranks:
        number, _, name = who.partition(" ")
        try:
            place = os.pidfd_open(int(number))
        except ProcessLookupError:
            dead.add(name)
        else:
            names[place], living[name] = name, number
            poll.register(place, select.POLLIN)
    os.write(1, b".")
    while not dead:
        ready = [place for place, _ in poll.poll()]
        if 0 in ready:
            if os.read(0, 1):
                return ""
            poll.unregister(0)  # the rank that started this process died without telling it to end
        dead = {names[place] for place in ready if place in names}
    # mpiexec may have killed this rank because of another one, whose threads have not all ended yet
    dead |= {name for name, number in living.items() if is_ending(number)}
    found = [name for name in (who.partition(" ")[2] for who in ranks) if name in dead]
    return f"{found[0] if len(found) == 1 else 'one of ' + ', '.join(found)} {AFTER}"


def is_ending(process: str) -> bool:
    """Tell whether a process has begun to end, by the flag PF_EXITING of Linux."""
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as file:
            return bool(int(file.read().rpartition(")")[2].split()[6]) & 4)
    except OSError:
        return True  # it is gone


if __name__ == "__main__":
    os.write(2, watch_processes(sys.argv[1:]).encode())
