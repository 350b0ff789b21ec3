"""Entry point of `python -m vqcodec` and of the console script. Handles Ctrl-C from the first import on."""

from __future__ import annotations

import sys

from vqcodec.cli.streams import complain, prepare


def main() -> None:
    """Run the command line. Ctrl-C at any time prints one line and exits with code 130."""
    try:
        prepare()
        from vqcodec.cli.main import main as run

        run()
    except KeyboardInterrupt:
        complain("vqcodec: stopped")
        sys.exit(130)


if __name__ == "__main__":
    main()
