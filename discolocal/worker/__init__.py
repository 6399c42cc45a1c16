"""Workers: what runs on a node, and what a kind of worker contributes to a job pack (reference 2, 8).

`Worker` is the base of `discolocal.worker.classic.worker.Worker`; `serve` runs one task over a channel.
"""

from __future__ import annotations

from discolocal.active import current
from discolocal.worker.base import Worker
from discolocal.worker.channel import Channel, ChannelClosed, DirectChannel, PipeChannel
from discolocal.worker.inputs import Input, MergedInput, ParallelInput, SerialInput, TaskInput, Wait
from discolocal.worker.outputs import Output
from discolocal.worker.params import Params
from discolocal.worker.serving import serve

__all__ = [
    "Channel",
    "ChannelClosed",
    "DirectChannel",
    "Input",
    "MergedInput",
    "Output",
    "ParallelInput",
    "Params",
    "PipeChannel",
    "SerialInput",
    "TaskInput",
    "Wait",
    "Worker",
    "current",
    "serve",
]
