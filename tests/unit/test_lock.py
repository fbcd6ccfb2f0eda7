"""Locks between processes; two open files of one process exclude each other just the same."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llmux.lock import Lock, Presence, present

pytestmark = pytest.mark.skipif(os.name != "posix", reason="flock")


def test_the_second_waits_and_gives_up(tmp_path: Path) -> None:
    one, other = Lock(tmp_path / "lock"), Lock(tmp_path / "lock", patience=0.02)
    with one, pytest.raises(TimeoutError, match="held by another process"), other:
        pass
    with other:
        pass
    one.close()
    other.close()


def test_a_removed_lock_file_locks_nobody_out_and_nobody_in(tmp_path: Path) -> None:
    one, other = Lock(tmp_path / "lock", patience=0.02), Lock(tmp_path / "lock", patience=0.02)
    with one:
        pass
    (tmp_path / "lock").unlink()
    with other, pytest.raises(TimeoutError), one:
        pass
    one.close()
    other.close()


def test_a_presence_lasts_as_long_as_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "alive"
    presence = Presence(path)
    assert present(path)
    assert presence.stands()
    presence.close()
    assert not present(path)
    assert not presence.stands()


def test_the_file_of_a_dead_holder_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "alive"
    path.touch()
    assert not present(path)
    assert not path.exists()
