"""How to call this program again, for the commands that it prints."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path


def program() -> str:
    """Return ``elman`` where the shell finds this very program by that name, otherwise the path it was called by."""
    called = Path(sys.argv[0])
    found = shutil.which("elman")
    if called.name != "elman" or not called.exists() or (found and Path(found).exists() and called.samefile(found)):
        return "elman"
    near = os.path.relpath(called)
    return shlex.quote(str(called) if near.startswith(os.pardir) else near)
