"""What the pipeline worker puts into the job dict (reference 1.3, 1.5, 8.10)."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from discolocal.error import DiscoError
from discolocal.wire.packcheck import GROUPINGS
from discolocal.worker import client
from discolocal.worker.classic.implied import implied_names
from discolocal.worker.classic.names import supplied_names
from discolocal.worker.classic.submission import check_python
from discolocal.worker.expanding import expand_inputs, listed
from discolocal.worker.pipeline.stage import CHAINS, HOOKS, Stage
from discolocal.worker.serving import one_line, short_repr

if TYPE_CHECKING:
    from discolocal.worker.base import Worker

Row = tuple[str, Stage, bool]


def pipeline_dict(worker: Worker, job: Any, jobargs: dict[str, Any]) -> dict[str, Any]:
    """The keys of the job dict that only pipelines have. Raises DiscoError for stages and inputs that cannot work."""
    rows = checked(worker.getitem("pipeline", job, jobargs))
    check_python(worker, job, jobargs)
    _warn_names(worker, job, jobargs, [stage for _, stage, _ in rows])
    return {
        "worker": worker.bin,
        "pipeline": [[stage.name, grouping, concurrent] for grouping, stage, concurrent in rows],
        "inputs": job_inputs(worker.getitem("input", job, jobargs), job),
    }


# Stages


def checked(pipeline: Any) -> list[Row]:
    """The parameter `pipeline` as (grouping, stage, concurrent) rows. Raises DiscoError, warns of traps."""
    if not isinstance(pipeline, (list, tuple)):
        raise DiscoError(f"pipeline must be a list of (grouping, Stage), not {short_repr(pipeline)}")
    if not pipeline:
        client.warn(
            "no-stages",
            "the job has no stages: a master accepts it and returns its inputs as the results; give it a pipeline",
        )
    rows = [_row(entry) for entry in pipeline]
    names: set[str] = set()
    for _, stage, _ in rows:
        if stage.name in names:
            raise DiscoError(f"Repeated stage {stage.name}: each stage of a pipeline needs a name of its own")
        names.add(stage.name)
        _check_stage(stage)
    if rows and rows[0][2]:
        client.warn(
            "concurrent-first-stage",
            f"the first stage, {rows[0][1].name}, is concurrent: a master accepts the job and never runs a task of it;"
            " let it not be concurrent",
        )
    return rows


def _row(entry: Any) -> Row:
    if not isinstance(entry, (list, tuple)) or len(entry) not in (2, 3):
        raise DiscoError(f"Bad Stage {short_repr(entry)}: a pipeline holds (grouping, Stage[, concurrent])")
    grouping, stage, concurrent = (*entry, False)[:3]
    if not isinstance(grouping, str) or grouping not in GROUPINGS:
        raise DiscoError(f"Unknown grouping {one_line(grouping, 200)}: there are {', '.join(GROUPINGS)}")
    if not isinstance(stage, Stage):
        raise DiscoError(f"Bad Stage {short_repr(entry)}: its second element must be a Stage")
    if not isinstance(concurrent, bool):
        raise DiscoError(f"Bad Stage {short_repr(entry)}: whether it is concurrent is True or False")
    return grouping, stage, concurrent


def _check_stage(stage: Stage) -> None:
    """Check what a stage is made of. Raises DiscoError, warns of what does nothing."""
    if not isinstance(stage.name, str) or not stage.name:
        raise DiscoError(f"A stage needs a name, which is a text that is not empty, not {short_repr(stage.name)}")
    for name in HOOKS:
        function = getattr(stage, name)
        if not callable(function) and (function is not None or name == "input_hook"):
            raise DiscoError(f"{name} of the stage {stage.name} must be a function, not {short_repr(function)}")
    if not (stage.init or stage.process or stage.done):
        raise DiscoError(f"The stage {stage.name} has no function: give it process, or at least init or done")
    for name in CHAINS:
        chain = getattr(stage, name)
        if not isinstance(chain, list) or not all(map(callable, chain)):
            raise DiscoError(f"{name} of the stage {stage.name} must be a list of stream functions, not {chain!r}")
    _check_generators(stage)
    if stage.sort and not stage.combine:
        client.warn(
            "sort-without-combine",
            f"sort=True of the stage {stage.name} has no effect without combine=True, here and on a cluster: give both",
        )


def _check_generators(stage: Stage) -> None:
    for name in ("process", "done"):
        if inspect.isgeneratorfunction(getattr(stage, name)):
            raise client.refusal(
                "generator-process",
                f"{name} of the stage {stage.name} has a yield in it, so that nothing of it would ever run: write"
                " records with interface.output(label).add(key, value)",
            )
    if inspect.isgeneratorfunction(stage.init):
        client.warn(
            "generator-init",
            f"init of the stage {stage.name} has a yield in it: the state is a generator and nothing of init runs, here"
            " and on a cluster, until process asks that for a value; return the state",
        )


def _warn_names(worker: Worker, job: Any, jobargs: dict[str, Any], stages: list[Stage]) -> None:
    """Warn of names that functions find here although nobody imports them: no worker of a cluster supplies any."""
    required = worker.getitem("required_modules", job, jobargs) or ()
    known = {(item if isinstance(item, str) else item[0]).rpartition(".")[2] for item in required}
    modules = {name: function for name, function in implied_names(stages).items() if name not in known}
    if modules:
        named = ", ".join(f"{function} names the module {module}" for module, function in modules.items())
        client.warn(
            "implied-module",
            f"{named}, which nobody imports; it is supplied here, on a cluster it is a NameError: import it, or name it"
            " in required_modules",
        )
    names = {name: function for name, function in supplied_names(stages).items() if name not in known}
    if names:
        named = ", ".join(f"{function} uses {name}" for name, function in names.items())
        client.warn(
            "supplied-name",
            f"{named} without an import; functions of map/reduce jobs find such names, and those of a pipeline here, on"
            " a cluster it is a NameError: import it",
        )


# Inputs


def job_inputs(value: Any, job: Any) -> list[list[Any]]:
    """The parameter `input` as [label, size, urls] rows, the size always 0 (reference 1.5).

    Entries are those of every job, or pairs (label, entry) with an int: what that stands for has the label, all else
    the label 0. Raises DiscoError as `expand_inputs`. Warns of what Disco's own client cannot send.
    """
    labelled = [_labelled(entry) for entry in listed(value)]
    rows: list[list[Any]] = []
    plain: list[str] = []
    for label, entry in labelled:
        for found in expand_inputs([entry], ddfs=lambda _tag: job.disco.ddfs):
            if isinstance(found, str):
                plain.append(found)
            rows.append([label or 0, 0, [found] if isinstance(found, str) else list(found)])
    if plain:
        client.warn(
            "plain-urls",
            f"the input {short_repr(plain[0], 100)} is no list of urls: Disco's own client makes a pack of it that a"
            " master refuses with invalid_job_inputs; write [url], a list with its one replica",
        )
    if client.thorough() and any(label is not None for label, _ in labelled):
        client.warn("input-label", "inputs have labels: Disco's own client gives all inputs of a pipeline the label 0")
    return rows


def _labelled(entry: Any) -> tuple[int | None, Any]:
    """An entry of the inputs with its label, None where it has none."""
    if isinstance(entry, (list, tuple)) and len(entry) == 2 and type(entry[0]) is int:
        return entry[0], entry[1]
    return None, entry
