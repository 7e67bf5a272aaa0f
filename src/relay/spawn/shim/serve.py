"""Entry of the fork server: `python -I -S serve.py`, control socket on stdin."""

import os
import sys
from importlib import import_module

if __name__ == "__main__":
    # Appended, not inserted: a file of ours must never shadow a standard module.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    import_module("shim.forkserver").main()
