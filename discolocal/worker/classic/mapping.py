"""The map stage: records -> map -> partition -> combiner -> one output per partition (reference 8.4).

Every pair of a job passes one of the loops here, so they come in several forms: the built-in partition function
is asked once per key, the built-in `sum_combiner` is part of its loop, everything else goes through `emit`.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from discolocal.worker.classic.failures import Blame
from discolocal.worker.classic.func import MAX_SUMS, default_labels, default_partition, sum_combiner
from discolocal.worker.serving import short_repr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from discolocal.worker.task_io import StreamCombiner

MAX_KNOWN = 1 << 18  # keys whose partition is remembered


def counted(records: Iterable[Any], verb: str, interval: int, blame: Blame) -> Iterator[Any]:
    """Pass records on; tell how many there were every `interval` records (0: never) and at the end (reference 8.3).

    Failures of the readers behind `records` get a headline.
    """
    count = 0
    msg = blame.task.msg
    try:
        if interval:
            for count, record in enumerate(records, 1):
                if not count % interval:
                    msg(f"{count} entries {verb}")
                yield record
        else:
            for count, record in enumerate(records, 1):  # noqa: B007
                yield record
    except Exception as error:
        blame.reading(error, "reading the input")
        raise
    msg(f"Done: {count} entries {verb}")


class Router:
    """Knows the output of every key.

    Parameters: `open_label` opens the output of a label (None: the only one); `partition`,
    `partitions`, `params` as the job gives them; `blame` for failures of the partition function.
    """

    def __init__(
        self,
        open_label: Callable[[int | None], StreamCombiner],
        partition: Callable[..., Any],
        partitions: int | None,
        params: Any,
        blame: Blame,
    ) -> None:
        self.outputs: dict[int | None, StreamCombiner] = {}
        self.adds: dict[int | None, Callable[[Any, Any], Any]] = {}
        self.by_key: dict[Any, Callable[[Any, Any], Any]] = {}
        self.labels: dict[Any, int] = {}
        self.open_label = open_label
        self.partition = partition
        self.partitions = partitions
        self.params = params
        self.blame = blame
        #: Whether equal keys are sure to have equal labels, so that these may be remembered.
        self.stable = bool(partitions) and partition is default_partition
        #: The label of a key. Raises ValueError or TypeError for one that no reduce would get.
        self.label: Callable[[Any], int | None] = self._checked_label
        if partitions and self.stable:
            self.label = self._default_label(default_labels(partitions))
        elif not partitions:
            self.label = lambda key: None

    def _default_label(self, labels: Callable[[Any], int]) -> Callable[[Any], int]:
        blame = self.blame

        def label(key: Any) -> int:
            try:
                return labels(key)
            except Exception as error:
                blame.for_key(error, "partition", key)
                raise

        return label

    def add_of(self, label: int | None) -> Callable[[Any, Any], Any]:
        """The `add` of a label's output, which is opened when it is first asked for."""
        add = self.adds.get(label)
        if add is None:
            add = self.adds[label] = self.output_of(label).add
        return add

    def output_of(self, label: int | None) -> StreamCombiner:
        """The output of a label, which is opened when it is first asked for."""
        output = self.outputs.get(label)
        if output is None:
            output = self.outputs[label] = self.open_label(label)
        return output

    def write(self, label: int | None, pairs: Iterable[tuple[Any, Any]]) -> None:
        """Write many pairs to the output of a label."""
        self.output_of(label).add_all(pairs)

    def _checked_label(self, key: Any) -> int | None:
        """The label that the user's partition function gives, checked."""
        partitions = self.partitions
        assert partitions
        try:
            label = self.partition(key, partitions, self.params)
            if label.__class__ is not int:
                label = _checked_type(label, key)
            if 0 <= label < partitions:
                return int(label)
            self.blame.task.notice(
                "partition-range",
                f"the partition {label} is not in range({partitions}): a cluster uses it as it is, and with one"
                " partition the records are lost; return an int in range(nr_partitions)",
            )
            raise ValueError(
                f"the partition of key {short_repr(key)} must be in range({partitions}), not {label}; a cluster would"
                " use it silently and may lose the records"
            )
        except Exception as error:
            self.blame.for_key(error, "partition", key)
            raise

    def lookup(self, key: Any) -> Callable[[Any, Any], Any]:
        """The `add` for a key; remembered in `by_key` when the partition function is `stable`."""
        add = self.add_of(self.label(key))
        if len(self.by_key) < MAX_KNOWN:
            try:
                self.by_key[key] = add
            except TypeError:  # a number that cannot be hashed: it has a partition, but is not remembered
                pass
        return add

    def stable_label(self, key: Any) -> int | None:
        """Like `label`, remembered in `labels`."""
        label = self.label(key)
        if self.stable and label is not None:
            if len(self.labels) >= MAX_KNOWN:
                self.labels.clear()
            try:
                self.labels[key] = label
            except TypeError:  # see `lookup`
                pass
        return label


def _checked_type(label: Any, key: Any) -> int:
    index = getattr(label, "__index__", None)
    if isinstance(label, bool) or index is None:
        raise TypeError(
            f"the partition of key {short_repr(key)} must be an int, not {short_repr(label)}"
            f" of type {type(label).__name__}"
        )
    return int(index())


def run_map(
    entries: Iterator[Any], function: Callable[..., Any], combiner: Callable[..., Any] | None, router: Router
) -> None:
    """Map all entries. Failures of user functions leave a headline in the task before they are raised."""
    if combiner is None:
        if not router.partitions:
            _map_undivided(entries, function, router)
            return
        if router.stable:
            _map_by_key(entries, function, router)
        _map_direct(entries, function, router)
    elif combiner is sum_combiner and (router.stable or not router.partitions):
        _map_summing(entries, function, router)
    else:
        combined = _Combined(combiner, router)
        _map_through(entries, function, combined.emit, router)
        combined.finish()


def _map_by_key(entries: Iterator[Any], function: Callable[..., Any], router: Router) -> None:
    """Map as long as it pays to remember the output of a key; leaves the rest of the entries."""
    by_key, lookup, blame, params = router.by_key, router.lookup, router.blame, router.params
    known = by_key.get
    for entry in entries:
        try:
            for key, value in function(entry, params):
                try:
                    add = known(key)
                except TypeError:
                    add = None
                if add is None:
                    add = lookup(key)
                add(key, value)
        except Exception as error:
            blame.at_record(error, "map", entry)
            raise
        if len(by_key) >= MAX_KNOWN:
            # So many keys are hardly seen again; if they are, computing costs as much as looking them up.
            by_key.clear()
            return


def _map_undivided(entries: Iterator[Any], function: Callable[..., Any], router: Router) -> None:
    """Map into the only output, which is opened for the first pair."""
    blame, params = router.blame, router.params
    add_all: Callable[[Iterable[tuple[Any, Any]]], Any] | None = None
    for entry in entries:
        try:
            pairs = function(entry, params)
            if add_all is not None:
                add_all(pairs)
                continue
            for key, value in pairs:
                if add_all is None:
                    add_all = router.output_of(None).add_all
                router.add_of(None)(key, value)
        except Exception as error:
            blame.at_record(error, "map", entry)
            raise


def _map_direct(entries: Iterator[Any], function: Callable[..., Any], router: Router) -> None:
    """Map with the partition function asked for every pair."""
    blame, params, label_of, add_of = router.blame, router.params, router.label, router.add_of
    adds: dict[int | None, Callable[[Any, Any], Any]] = router.adds
    for entry in entries:
        try:
            for key, value in function(entry, params):
                label = label_of(key)
                if label in adds:
                    adds[label](key, value)
                else:
                    add_of(label)(key, value)
        except Exception as error:
            blame.at_record(error, "map", entry)
            raise


def _map_through(
    entries: Iterator[Any], function: Callable[..., Any], emit: Callable[[Any, Any], Any], router: Router
) -> None:
    blame, params = router.blame, router.params
    for entry in entries:
        try:
            for key, value in function(entry, params):
                emit(key, value)
        except Exception as error:
            blame.at_record(error, "map", entry)
            raise


def _map_summing(entries: Iterator[Any], function: Callable[..., Any], router: Router) -> None:
    """Map with `sum_combiner`: one dictionary for all partitions; keys are sent to theirs at the end."""
    blame, params = router.blame, router.params
    sums: dict[Any, Any] = {}
    for entry in entries:
        try:
            for key, value in function(entry, params):
                if key in sums:
                    sums[key] = sums[key] + value
                else:
                    sums[key] = 0 + value
                    if len(sums) >= MAX_SUMS:
                        _flush_sums(sums, router)
        except Exception as error:
            blame.at_record(error, "map or its sum_combiner", entry)
            raise
    blame.source = None
    _flush_sums(sums, router)


def _flush_sums(sums: dict[Any, Any], router: Router) -> None:
    """Write all sums, each partition's together."""
    by_label: dict[int | None, list[tuple[Any, Any]]] = {}
    label_of = router.label
    for pair in sums.items():
        label = label_of(pair[0])
        try:
            by_label[label].append(pair)
        except KeyError:
            by_label[label] = [pair]
    for label, pairs in by_label.items():
        router.write(label, pairs)
    sums.clear()


class _Combined:
    """Pairs on their way through a combiner, with a buffer for each label (reference 8.4)."""

    def __init__(self, combiner: Callable[..., Any], router: Router) -> None:
        self.combiner = combiner
        self.router = router
        self.buffers: dict[int | None, dict[Any, Any]] = {}
        self.emit = self._make_emit()

    def _make_emit(self) -> Callable[[Any, Any], None]:
        router, combiner, buffers, params = self.router, self.combiner, self.buffers, self.router.params
        labels, stable_label = router.labels, router.stable_label

        def emit(key: Any, value: Any) -> None:
            try:
                label: int | None = labels[key]
            except (KeyError, TypeError):
                label = stable_label(key)
            buffer = buffers.get(label)
            if buffer is None:
                buffer = buffers[label] = {}
            try:
                pairs = combiner(key, value, buffer, False, params)
                if pairs is not None:
                    self._write(label, pairs)
            except Exception as error:
                router.blame.for_key(error, "combiner", key)
                raise

        return emit

    def _write(self, label: int | None, pairs: Iterable[tuple[Any, Any]]) -> None:
        pairs = iter(pairs)
        for first in pairs:  # an output is not made for a combiner that has nothing to write yet
            self.router.write(label, chain((first,), pairs))

    def finish(self) -> None:
        """Call the combiner for the last time with each buffer."""
        for label, buffer in self.buffers.items():
            try:
                pairs = self.combiner(None, None, buffer, True, self.router.params)
                if pairs is not None:
                    self._write(label, pairs)
            except Exception as error:
                self.router.blame.note(error, f"combiner failed at the end of partition {label}")
                raise
