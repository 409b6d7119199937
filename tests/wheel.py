"""Check a wheel: python tests/wheel.py FOLDER.

It must hold every file of the package, its command and its licence. It is then installed into an empty environment,
where only the packages that it declares as dependencies are linked, and the demo runs there.
"""

import os
import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]


def check_contents(path: Path) -> str:
    """Return what is wrong with the contents of a wheel; "" where nothing is."""
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


def install(path: Path, folder: Path) -> Path:
    """Install a wheel into a new environment in ``folder``; return the environment's folder of packages."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin/python", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", path], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    return packages


def link_dependencies(packages: Path) -> None:
    """Link what the installed wheel depends on, directly or not, from the environment that this script runs in."""
    (information,) = packages.glob("elman-*.dist-info")
    waiting, done = _requirements_of(Distribution.at(information), set()), set()
    while waiting:
        requirement = waiting.pop()
        if requirement in done:
            continue
        done.add(requirement)
        parsed = Requirement(requirement)
        found = distribution(parsed.name)
        if not parsed.specifier.contains(found.version, prereleases=True):
            raise SystemExit(f"{requirement} is required, but {found.version} is installed")
        waiting |= _requirements_of(found, parsed.extras)
        for entry in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            link = packages / entry
            if not link.is_symlink():
                link.symlink_to(Path(str(found.locate_file(entry))))


def _requirements_of(found: Distribution, extras: set[str]) -> set[str]:
    lines = set()
    for line in found.requires or ():
        marker = Requirement(line).marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *extras}):
            lines.add(line)
    return lines


def run_demo(folder: Path) -> str:
    """Run the demo of the installed wheel; return what is wrong with it."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    code = "import elman; print(elman.__file__)"
    for command in ([folder / "bin/python", "-c", code], [folder / "bin/elman", "demo", "--seconds", "5"]):
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        if done.returncode:
            return f"{command[0].name} ended with {done.returncode}\n{done.stderr}"
        if command[1] == "-c" and not Path(done.stdout.strip()).is_relative_to(folder.resolve()):
            return f"the environment imports {done.stdout.strip()}, not the wheel"
    return "" if (folder / "runs/demo/model.safetensors").exists() else "the demo saved no model"


def check(folder: Path) -> str:
    """Return what is wrong with the one wheel in a folder; "" where nothing is."""
    (path,) = folder.glob("elman-*.whl")
    if wrong := check_contents(path):
        return wrong
    with tempfile.TemporaryDirectory() as temporary:
        environment = Path(temporary) / "environment"
        link_dependencies(install(path, environment))
        return run_demo(environment)


if __name__ == "__main__":
    sys.exit(check(Path(sys.argv[1])) or None)
