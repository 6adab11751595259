"""The memory that a process may take, of a machine made of files: /proc and both versions of control groups."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from trimode.bundle.host_memory import host_memory

MB = 10**6
KIB = 1024
MEMINFO = f"MemTotal: {8000 * MB // KIB} kB\nMemFree: 5 kB\nMemAvailable: {6000 * MB // KIB} kB\nHugePages_Free: 0\n"


def machine(root: Path, groups: str = "", files: dict[str, str] | None = None) -> Path:
    for name, text in {"proc/meminfo": MEMINFO, "proc/self/cgroup": groups, **(files or {})}.items():
        (path := root / name).parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def of_v2(group: str, limit: str, used: int, files: int = 0) -> dict[str, str]:
    folder = f"sys/fs/cgroup/{group}"
    stat = f"anon 5\ninactive_file {files}\n"
    return {f"{folder}memory.max": f"{limit}\n", f"{folder}memory.current": f"{used}\n", f"{folder}memory.stat": stat}


def of_v1(group: str, limit: int, used: int, files: int = 0) -> dict[str, str]:
    folder = f"sys/fs/cgroup/memory/{group}"
    return {
        f"{folder}memory.limit_in_bytes": f"{limit}\n",
        f"{folder}memory.usage_in_bytes": f"{used}\n",
        f"{folder}memory.stat": f"total_cache 9\ntotal_inactive_file {files}\n",
    }


def found(root: Path) -> tuple[int, int]:
    result = host_memory(root)
    assert result is not None
    return round(result[0] / MB), round(result[1] / MB)


def test_without_groups_it_is_what_linux_calls_available(tmp_path: Path) -> None:
    assert found(machine(tmp_path)) == (6000, 8000)


def test_a_containers_limit_counts_and_pages_of_files_are_free(tmp_path: Path) -> None:
    files = of_v2("", str(2000 * MB), 700 * MB, 200 * MB)
    assert found(machine(tmp_path, "0::/\n", files)) == (1500, 2000)


def test_the_tightest_group_on_the_way_to_the_root_counts(tmp_path: Path) -> None:
    files = of_v2("a/b/", "max", 100 * MB) | of_v2("a/", str(3000 * MB), 2900 * MB)
    assert found(machine(tmp_path, "0::/a/b\n", files)) == (100, 3000)


def test_groups_of_the_first_version_count_too(tmp_path: Path) -> None:
    groups = "5:devices:/\n4:memory:/pod/one\n1:cpu,cpuacct:/\n"
    files = of_v1("pod/one/", 1 << 62, 100 * MB) | of_v1("pod/", 2000 * MB, 1000 * MB, 300 * MB)
    assert found(machine(tmp_path, groups, files)) == (1300, 2000)


def test_a_group_that_lies_outside_the_container_is_seen_at_its_root(tmp_path: Path) -> None:
    """Without a namespace of its own a container of Docker's first version names the host's path, and sees its root."""
    files = of_v1("", 1000 * MB, 400 * MB)
    assert found(machine(tmp_path, "4:memory:/docker/1234\n", files)) == (600, 1000)


def test_a_group_that_is_over_its_limit_leaves_nothing(tmp_path: Path) -> None:
    assert found(machine(tmp_path, "0::/\n", of_v2("", str(MB), 2 * MB))) == (0, 1)


@pytest.mark.parametrize("text", ["", "MemTotal: 5 kB\n", "MemAvailable: much\n"])
def test_a_system_that_does_not_say(tmp_path: Path, text: str) -> None:
    assert host_memory(machine(tmp_path, files={"proc/meminfo": text})) is None


def test_this_machine_says_no_more_than_psutil() -> None:
    found = host_memory()
    assert found is not None
    free, total = found
    assert 0 < free <= total <= psutil.virtual_memory().total
