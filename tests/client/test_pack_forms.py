"""A job pack as a cluster on this machine takes it: as such, as bytes and as a file."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from discolocal import DiscoError, Job, LocalCluster
from discolocal.wire.jobpack import MAX_SIZE


@pytest.mark.parametrize("start", ["fork", "exec", "inline"])
def test_a_cluster_runs_a_pack_in_every_form(tmp_path: Path, start: str) -> None:
    pack = Job(map=lambda line, params: [(line, 1)]).pack(input=["raw://x"])
    path = tmp_path / "a.jobpack"
    path.write_bytes(pack.dumps())
    with LocalCluster(nodes=1, start=start) as cluster:
        for form in (pack, pack.dumps(), bytearray(pack.dumps()), path, str(path)):
            results = cluster.run(form)
            assert list(results) == [("x", 1)]
            assert results.job.jobpack().dumps() == pack.dumps()
        for form in (pack, path):
            with pytest.raises(TypeError, match="takes no parameters: params"):
                cluster.run(form, params=1)


def test_a_pack_that_no_master_takes_is_not_read_by_a_cluster(tmp_path: Path) -> None:
    with open(tmp_path / "large", "wb") as file:
        file.truncate(MAX_SIZE + 1)
    with LocalCluster(nodes=1, start="inline") as cluster:
        tracemalloc.start()
        try:
            with pytest.raises(DiscoError, match=f"more than {MAX_SIZE:,} bytes"):
                cluster.run(tmp_path / "large")
            assert tracemalloc.get_traced_memory()[1] < 1 << 23
        finally:
            tracemalloc.stop()
        with pytest.raises(DiscoError, match="cannot be read: Is a directory"):
            cluster.run(tmp_path)
