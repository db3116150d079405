"""Compare methods on the shapes world, paired over seeds.

The seed decides first weights and the order of scenes, so the methods of one
seed are paired; all runs are tested on the same scenes, all names asked for
at once. Finished runs are kept and skipped, interrupted ones continue
(``shapes_runs.py``); the page is ``shapes_report.py``'s.
"""

import argparse
import signal
import sys
from pathlib import Path

# started as a script, Python looks beside this file, not above it
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.shapes_report import report, save_pictures  # noqa: E402
from benchmarks.shapes_runs import (  # noqa: E402
    METHODS,
    Run,
    check_settings,
    measure_all,
    save_text,
)


def positive(text: str) -> int:
    """Read a whole number from 1 on."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f'{text} is not 1 or more')
    return number


def build_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    add = parser.add_argument
    usual = [name for name, method in METHODS.items() if not method.variant]
    add('--method', nargs='+', choices=METHODS, default=usual)
    add('--seeds', type=positive, default=5, metavar='S')
    add('--iters', type=positive, help='training iterations; default: config')
    add('--images', type=positive, help='test scenes; default: config')
    add(
        '--out',
        type=Path,
        default=Path('work_dirs/shapes_report'),
        help='folder of runs and results; the same again continues there',
    )
    add(
        '--page',
        type=Path,
        metavar='FILE.md',
        help='where the report goes, its pictures in _static beside it; '
        'default: report.md in --out',
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Train what is not trained yet; print and write the report."""
    args = build_parser().parse_args(argv)
    page = args.page or args.out / 'report.md'
    runs = [  # seed by seed: pairs are complete early
        Run(method, seed, args.iters, args.images, args.out)
        for seed in range(args.seeds)
        for method in dict.fromkeys(args.method)
    ]
    try:
        for run in runs:
            check_settings(run)
        found = measure_all(runs)
    except KeyboardInterrupt:
        print('interrupted: the same command goes on', file=sys.stderr)
        return 130
    except (RuntimeError, ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    text = report(found, runs, save_pictures(found, runs, page))
    save_text(page, text)
    print(f'{text}\nwritten to {page}')
    return 0


if __name__ == '__main__':
    # a terminated comparison takes its training along, as ctrl-c does
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
