"""Check that a wheel holds every file of the package, its command and its licence: python tests/wheel.py FOLDER."""

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def check(folder: Path) -> str:
    """Return what is wrong with the one wheel in a folder; "" where nothing is."""
    (path,) = folder.glob("elman-*.whl")
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
        scripts = [wheel.read(name).decode() for name in names if name.endswith("entry_points.txt")]
    source = ROOT / "src"
    files = {file.relative_to(source).as_posix() for file in (source / "elman").rglob("*") if file.is_file()}
    files = {file for file in files if "__pycache__" not in file}
    packed = {name for name in names if name.startswith("elman/")}
    if packed != files:
        return f"{path.name}: missing {sorted(files - packed)}, too many {sorted(packed - files)}"
    if not any("elman = elman.cli.main:main" in script for script in scripts):
        return f"{path.name}: has no command elman"
    if not any(name.endswith("/LICENSE") for name in names):
        return f"{path.name}: has no licence"
    return ""


if __name__ == "__main__":
    sys.exit(check(Path(sys.argv[1])) or None)
