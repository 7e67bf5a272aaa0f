"""`python -m relay`: the same as the command `relay`."""

from relay.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
