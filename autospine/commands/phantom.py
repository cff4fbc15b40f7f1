"""autospine_phantom: writes synthetic lumbar MRI with masks in SPIDER's layout."""

from __future__ import annotations

import argparse

from autospine.commands.shared import add_workers, make_parser, run

EXAMPLES = """  autospine_phantom data --cases 12 --seed 1
  autospine_phantom data/small --cases 8 --seed 1 --size small
  autospine_phantom data/varied --cases 40 --labels parts --varied"""


def main() -> int:
    """Run the command."""
    parser = make_parser("Write synthetic lumbar MRI with masks, in SPIDER's folder layout.", EXAMPLES)
    parser.add_argument("out", metavar="OUT", help="new or empty folder")
    parser.add_argument("--cases", type=int, required=True, metavar="N", help="how many series to make")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="same seed, same files (default: 0)")
    parser.add_argument(
        "--size",
        choices=("small", "full"),
        default="full",
        help="full: clinical grids; small: coarse ones for tests and demonstrations (default: full)",
    )
    parser.add_argument(
        "--labels",
        choices=("spider", "parts"),
        default="spider",
        help="integers of the masks: SPIDER's, or parts, which tells bodies, posterior elements and sacrum apart "
        "(default: spider)",
    )
    parser.add_argument(
        "--varied",
        action="store_true",
        help="fractures, slips, narrow discs, scoliosis, implants, six contrasts, cropped fields of view",
    )
    add_workers(parser)
    return run(parser, _phantom)


def _phantom(options: argparse.Namespace) -> int:
    from autospine.core.machine import workers_for
    from autospine.phantom.write import write_phantom

    workers = workers_for(options.workers)
    ids = write_phantom(options.out, options.cases, options.seed, options.size, workers, options.labels, options.varied)
    print(f"{options.out}: {len(ids)} series of {len({i.split('_')[0] for i in ids})} patients")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
