"""Show, choose and check the settings.

    python -m stages.params list                     presets and what they are for
    python -m stages.params use tiny                 make a preset the active params.yaml
    python -m stages.params check                    check params.yaml
    python -m stages.params explain train.clip_norm  meaning, bounds, value, where it comes from
    python -m stages.params document                 renew what is generated from sections.py

`use` can change single keys of a preset: use own_data --set download.root=/path/to/data
"""

import argparse
import sys
from pathlib import Path

from stages.openpose.errors import InputError
from stages.params import pages, presets, reading


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m stages.params",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="presets and what they are for")
    chosen = commands.add_parser("use", help="make a preset the active params.yaml")
    chosen.add_argument("preset")
    chosen.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="change one key of it; models.NAME.KEY=VALUE for a network",
    )
    commands.add_parser("check", help="check params.yaml")
    explained = commands.add_parser("explain", help="say what a key means and what it is now")
    explained.add_argument("key", nargs="+", metavar="SECTION.KEY")
    commands.add_parser("document", help="renew the schema, docs/parameters.md and preset sample")
    return parser.parse_args()


def _run(arguments: argparse.Namespace) -> list[str]:
    """Do what was asked for; returns the lines to print."""
    if arguments.command == "use":
        presets.use(arguments.preset, arguments.params, arguments.set)
        return [f"{arguments.params}: preset {arguments.preset}", *_not_there_yet(arguments.params)]
    if arguments.command == "check":
        reading.check(arguments.params)
        return [f"{arguments.params}: fine"]
    if arguments.command == "explain":
        return [pages.explain(key, arguments.params) for key in arguments.key]
    if arguments.command == "document":
        return [f"{path}: written" for path in pages.document()]
    return [f"{name:20} {presets.title(name)}" for name in presets.preset_names()]


def _not_there_yet(path: Path) -> list[str]:
    """A line where the data are not at the place that the settings name."""
    try:
        reading.check(path)
    except InputError as problem:
        return [f"note: {problem}"]
    return []


def main() -> None:
    """Command line."""
    try:
        print("\n".join(_run(_arguments())))
    except (InputError, OSError) as problem:
        sys.exit(f"error: {problem}")


if __name__ == "__main__":
    main()
