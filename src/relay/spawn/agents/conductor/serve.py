"""Entry of the conductor: `python -I -S serve.py claude|codex`, the plan on its standard input."""

import os
import sys
from importlib import import_module

if __name__ == "__main__":
    # Appended, not inserted: a file of ours must never shadow a standard module.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    sys.exit(import_module("conductor.conducting").main(sys.argv[1]))
