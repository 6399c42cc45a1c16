"""Classic jobs from input to records, in every way a worker can start (reference 3, 8.2 to 8.5)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from discolocal import DiscoError, Job, LocalCluster, result_iterator
from discolocal.worker.classic.func import (
    chain_reader,
    nop_map,
    nop_reduce,
    sum_reduce,
)
from tests.behaviour import oracle
from tests.behaviour.classic import TEXT_A, TEXT_B, WordCount, key_and_partition, words

pytestmark = pytest.mark.filterwarnings("ignore::discolocal.error.PortabilityWarning")


def test_the_example_of_the_main_job(start: str, texts: list[str]) -> None:
    expected = oracle.words(TEXT_A, TEXT_B)
    with LocalCluster(start=start) as cluster:
        results = cluster.run(WordCount(), input=texts)
        seen = {}
        for word, count in results:
            seen[word] = count
        assert seen == expected
        assert dict(results) == expected
        assert results.job.name.startswith("WordCount@")
        assert [url for (url,) in results.urls] and all(url.startswith("dir://") for (url,) in results.urls)
        assert results.job.name in repr(results)

        job = WordCount(master=cluster).run(input=texts[:1])
        assert dict(result_iterator(job.wait())) == oracle.words(TEXT_A)

    results = LocalCluster(start=start).run(
        Job(map=lambda e, p: [(e.strip(), 1)], reduce=sum_reduce), input=["raw://hello"]
    )
    assert list(results) == [("hello", 1)]


def test_a_job_may_be_a_class_an_instance_a_pack_or_the_path_of_a_pack(
    cluster: LocalCluster, texts: list[str], tmp_path: Path
) -> None:
    expected = oracle.words(TEXT_A, TEXT_B)
    assert dict(cluster.run(WordCount, input=texts)) == expected
    pack = WordCount().pack(input=texts).dumps()
    assert dict(cluster.run(pack)) == expected
    path = tmp_path / "job.pack"
    path.write_bytes(pack)
    assert dict(cluster.run(path)) == expected
    assert dict(cluster.run(str(path))) == expected
    with pytest.raises(TypeError, match="partitions"):
        cluster.run(pack, partitions=2)


def test_results_can_be_iterated_again_while_the_cluster_is_open_and_not_after(start: str, texts: list[str]) -> None:
    with LocalCluster(nodes=2, start=start) as cluster:
        results = cluster.run(WordCount(), input=texts)
        assert sorted(results) == sorted(results) != []
    with pytest.raises(DiscoError, match="closed"):
        list(results)
    with pytest.raises(DiscoError, match="closed"):
        cluster.run(WordCount(), input=texts)


def test_a_job_instance_may_run_twice_and_gets_two_names(cluster: LocalCluster, texts: list[str]) -> None:
    job = WordCount()
    first, second = cluster.run(job, input=texts), cluster.run(job, input=texts[1:])
    assert first.job.name != second.job.name
    assert dict(first) == oracle.words(TEXT_A, TEXT_B)
    assert dict(second) == oracle.words(TEXT_B)


# Partitions and stages


@pytest.mark.parametrize("partitions", [None, 1, 2, 7])
def test_records_go_to_the_partition_that_md5_says(
    cluster: LocalCluster, texts: list[str], partitions: int | None
) -> None:
    results = cluster.run(Job(map=words, reduce=key_and_partition), input=texts, partitions=partitions)
    expected = [((oracle.label(word, partitions or 1), word), 1) for word in (TEXT_A + "\n" + TEXT_B).split()]
    assert oracle.multiset(results) == oracle.multiset(expected)
    assert len(results.urls) == len({number for (number, _), _ in expected})


def test_there_are_only_as_many_reduces_as_partitions_that_occur(cluster: LocalCluster) -> None:
    results = cluster.run(
        Job(map=lambda e, p: [(e, 1)], partition=lambda k, n, p: 5, reduce=key_and_partition),
        partitions=9,
        input=["raw://x", "raw://y"],
    )
    assert sorted(results) == [((5, "x"), 1), ((5, "y"), 1)]
    assert len(results.urls) == 1


@pytest.mark.parametrize("partitions", [None, 1, 4])
def test_a_map_only_job_gives_the_pairs_of_map(cluster: LocalCluster, texts: list[str], partitions: int | None) -> None:
    results = cluster.run(Job(map=words), input=texts, partitions=partitions)
    assert Counter(results) == Counter((word, 1) for word in (TEXT_A + "\n" + TEXT_B).split())
    assert [stage for stage, *_ in results.job.jobinfo()["pipeline"]] == ["map", "map_shuffle"]


def test_results_of_a_map_only_job_feed_a_reduce_only_job(cluster: LocalCluster, texts: list[str]) -> None:
    mapped = cluster.run(Job(map=words), input=texts, partitions=4)
    expected = [((oracle.label(word, 4), word), 1) for word in (TEXT_A + "\n" + TEXT_B).split()]
    for given in (mapped.urls, [url for (url,) in mapped.urls]):
        results = cluster.run(Job(reduce=key_and_partition), input=given)
        assert oracle.multiset(results) == oracle.multiset(expected)
        assert [stage for stage, *_ in results.job.jobinfo()["pipeline"]] == ["reduce"]
        assert len(results.urls) == len({number for (number, _), _ in expected})


def test_a_reduce_only_job_on_results_with_one_label_has_one_reduce(cluster: LocalCluster, texts: list[str]) -> None:
    mapped = cluster.run(Job(map=words), input=texts)
    results = cluster.run(Job(reduce=sum_reduce), input=mapped.urls)
    assert dict(results) == oracle.words(TEXT_A, TEXT_B)
    assert len(results.urls) == 1


def test_results_of_a_job_are_input_of_the_next_map(cluster: LocalCluster, texts: list[str]) -> None:
    counted = cluster.run(WordCount(), input=texts)
    by_count = cluster.run(
        Job(map=lambda pair, p: [(pair[1], pair[0])], map_reader=chain_reader, reduce=nop_reduce), input=counted.urls
    )
    assert sorted(by_count) == sorted((n, word) for word, n in oracle.words(TEXT_A, TEXT_B).items())


def test_files_of_results_can_be_given_one_by_one(cluster: LocalCluster, texts: list[str]) -> None:
    from discolocal.util import parse_dir

    counted = cluster.run(WordCount(), input=texts)
    files = [file for (url,) in counted.urls for file in parse_dir(url)]
    assert files and all(file.startswith("disco://") for file in files)
    again = cluster.run(Job(map=nop_map, map_reader=chain_reader, reduce=sum_reduce), input=files)
    assert dict(again) == oracle.words(TEXT_A, TEXT_B)


def test_a_reduce_only_job_on_files_reads_them_all_in_one_reduce(cluster: LocalCluster, texts: list[str]) -> None:
    def lines(iter, params):
        for line in iter:
            yield line, len(line)

    results = cluster.run(Job(reduce=lines, reduce_reader=None), input=texts)
    expected = [line + "\n" for line in TEXT_A.splitlines()] + ["the end of\n", "the story of fox and dog"]
    assert sorted(results) == sorted((line, len(line)) for line in expected)
    assert len(results.urls) == 1


def test_reduce_shuffle_adds_a_stage_that_joins_the_reduces_of_a_node(cluster: LocalCluster, texts: list[str]) -> None:
    results = cluster.run(Job(map=words, reduce=sum_reduce, reduce_shuffle=True), input=texts, partitions=5)
    assert dict(results) == oracle.words(TEXT_A, TEXT_B)
    stages = [row[0] for row in results.job.jobinfo()["pipeline"]]
    assert stages == ["map", "map_shuffle", "reduce", "reduce_shuffle"]
    assert len(results.urls) <= 2, "one index for each node"


def test_reduce_shuffle_has_no_stage_when_there_is_one_partition(cluster: LocalCluster, texts: list[str]) -> None:
    results = cluster.run(Job(map=words, reduce=sum_reduce, reduce_shuffle=True), input=texts)
    assert dict(results) == oracle.words(TEXT_A, TEXT_B)
    assert [row[0] for row in results.job.jobinfo()["pipeline"]] == ["map", "map_shuffle", "reduce"]


def test_both_signatures_of_reduce(cluster: LocalCluster, texts: list[str]) -> None:
    def with_out(iter, out, params):
        for word, count in iter:
            out.add(word, count)

    def yielding(iter, params):
        yield from iter

    def returning(iter, params):
        return list(iter)

    expected = Counter((word, 1) for word in (TEXT_A + "\n" + TEXT_B).split())
    for reduce in (with_out, yielding, returning, nop_reduce):
        assert Counter(cluster.run(Job(map=words, reduce=reduce), input=texts)) == expected


def test_reduce_runs_once_for_a_partition_and_not_for_each_key(cluster: LocalCluster, texts: list[str]) -> None:
    def reduce(iter, params):
        yield "records", sum(1 for _ in iter)

    results = list(cluster.run(Job(map=words, reduce=reduce), input=texts, partitions=1))
    assert results == [("records", len((TEXT_A + "\n" + TEXT_B).split()))]


def test_a_reduce_that_gives_nothing_has_an_output_and_no_records(cluster: LocalCluster, texts: list[str]) -> None:
    results = cluster.run(Job(map=words, reduce=lambda iter, params: []), input=texts)
    assert list(results) == []
    assert len(results.urls) == 1


def test_a_map_that_gives_nothing_has_no_output(cluster: LocalCluster, texts: list[str]) -> None:
    results = cluster.run(Job(map=lambda e, p: [], reduce=sum_reduce), input=texts, partitions=3)
    assert list(results) == [] and results.urls == []


def test_no_inputs_are_no_tasks_but_one_reduce_of_a_reduce_only_job(cluster: LocalCluster) -> None:
    assert cluster.run(Job(map=words, reduce=sum_reduce), input=[]).urls == []
    assert cluster.run(Job(map=words), input=["", None, []]).urls == []
    results = cluster.run(Job(reduce=lambda iter, params: [("records", len(list(iter)))]), input=[])
    assert list(results) == [("records", 0)]


def test_a_job_without_map_and_reduce_gives_its_inputs_last_first(cluster: LocalCluster, texts: list[str]) -> None:
    assert cluster.run(Job(), input=texts).urls == [[texts[1]], [texts[0]]]


def test_values_of_a_key_come_from_all_maps_and_keep_their_order_within_one(cluster: LocalCluster) -> None:
    def enumerated(entry, params):
        for number, text in enumerate(entry.split()):
            yield "k", (text, number)

    results = list(cluster.run(Job(map=enumerated, reduce=nop_reduce), input=["raw://a a a", "raw://b b", "raw://c"]))
    for name, count in (("a", 3), ("b", 2), ("c", 1)):
        assert [n for _, (text, n) in results if text == name] == list(range(count))


def test_the_seed_decides_the_order_of_reduce_inputs(start: str) -> None:
    inputs = [f"raw://{number}" for number in range(5)]

    def order(seed: int) -> list[str]:
        # The shuffle would join the files of the maps.
        with LocalCluster(nodes=1, start=start, seed=seed) as cluster:
            mapped = cluster.run(Job(map=lambda e, p: [("k", e)]), input=inputs).job.stageresults("map")
            return [value for _, value in cluster.run(Job(reduce=nop_reduce), input=mapped)]

    orders = [order(seed) for seed in (1, 1, 2, 3)]
    assert orders[0] == orders[1]
    assert len({tuple(o) for o in orders}) > 1
    assert all(sorted(o) == [str(n) for n in range(5)] for o in orders)
