"""Time `--help` of every command. Target: each under 0.3 s."""

from __future__ import annotations

from functools import partial

from figures import Spread, alternate, call, command, machine, make_parser, timed

COMMANDS = ("main", "phantom", "plan", "train", "predict", "evaluate")
TARGET = 0.3


def main() -> None:
    options = make_parser(__doc__).parse_args()
    print(machine())
    runs = {name: partial(timed, partial(call, command(name, "--help"))) for name in COMMANDS}
    found: dict[str, Spread] = alternate(runs, options.repeats)
    for name, spread in found.items():
        title = "autospine" if name == "main" else f"autospine_{name} --help"
        print(f"{title:28s} {spread}  target {TARGET} s")


if __name__ == "__main__":
    main()
