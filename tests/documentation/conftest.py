import shutil

import pytest

from .pages import write_files


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    write_files(folder)
    return folder


@pytest.fixture
def beside_the_files(files, tmp_path, monkeypatch):
    """Work in a folder with the files that the pages name."""
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
