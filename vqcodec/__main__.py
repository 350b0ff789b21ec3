"""`python -m vqcodec`, and the console script: the command line, where Ctrl-C counts from the first import on."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; a Ctrl-C at any time is one line and exit code 130."""
    try:
        from vqcodec.cli.main import main as run

        run()
    except KeyboardInterrupt:
        print("vqcodec: stopped", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
