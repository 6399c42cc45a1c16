"""The codes of portability findings: what works here and would go differently on a real cluster (reference 9).

One table for all codes. Whoever notices something names its code; this says which trap of the reference it is,
what a cluster does and what to change.
"""

from __future__ import annotations

from typing import NamedTuple

WARNING = "warning"
"""The default run works and warns, a strict one fails."""
CLIENT = "client"
"""Only Disco's own client could not send the job; the pack made here works on a cluster. A strict run fails."""
NOTE = "note"
"""Worth knowing before a job goes to a cluster; no warning and no error."""
REFUSED = "refused"
"""An error here as well, though a cluster would take it."""


class Code(NamedTuple):
    """What a code means.

    `level` is one of the four above; `traps` are items of section 9 of the reference; `consequence` is what happens on
    a cluster, `change` what to do about it: parts of a sentence, without a capital or a full stop.
    """

    level: str
    traps: tuple[int, ...]
    consequence: str
    change: str


CODES: dict[str, Code] = {
    # What the job's parameters say
    "external-files": Code(
        WARNING,
        (36,),
        "an external program runs in the job home, and its files are in ext.map or ext.reduce below it",
        "open them there, which works here too, or give them in required_files",
    ),
    "external-flush": Code(
        WARNING,
        (),
        "an external map gets a record when it has answered the one before: one that keeps its answer back hangs",
        "flush standard output after each answer",
    ),
    "external-params": Code(
        WARNING,
        (36,),
        "ext_params that are a text do not reach the program: it gets 0 and a newline",
        "give a dict",
    ),
    "external-program": Code(
        WARNING,
        (36,),
        "an external program has the mode 0100: its interpreter cannot read a script, unless it runs as root",
        "give a compiled program, which may start a script among its files",
    ),
    "force-local": Code(
        WARNING,
        (6,),
        "no master of today looks at force_local and force_remote",
        "leave them out of scheduler",
    ),
    "no-stages": Code(
        WARNING,
        (53,),
        "the master accepts a job with neither map nor reduce and returns its inputs as the results",
        "give a map or a reduce",
    ),
    "plain-function": Code(
        WARNING,
        (),
        "a plain function of a job class is called as a method, with the job as its first argument",
        "make it a staticmethod",
    ),
    "prefix-characters": Code(
        WARNING,
        (),
        "every task fails when a shell reads a character of the name, such as a quote, as its own; else the job runs,"
        " but the tag of its out-of-band results cannot be used",
        "name the job with letters, digits, _, - and @ or : only",
    ),
    "oob-text": Code(
        WARNING,
        (),
        "put takes bytes alone, and a str makes the task fail",
        "encode the value",
    ),
    "range-partition": Code(
        WARNING,
        (18,),
        "make_range_partition returns a function that fails at the first key",
        "write the partition function yourself",
    ),
    "wait-clean": Code(
        WARNING,
        (27,),
        "wait(clean=True) kills a job that is not done within the first poll_interval",
        "wait without clean and call clean afterwards",
    ),
    "none-parameter": Code(
        WARNING,
        (),
        "a stream or partition function that is None makes every task fail with a TypeError",
        "leave out what is to have its default",
    ),
    "implied-module": Code(
        WARNING,
        (30,),
        "nobody imports the module that a function names: a NameError in every task on Python 3.6 and later",
        "import it where the function stands, or name it in required_modules",
    ),
    "index-replicas": Code(
        WARNING,
        (),
        "a list in the list of inputs stands for replicas of the same data: only the first result in it is read",
        "add lists of results with +, without brackets around them",
    ),
    "bare-tag": Code(
        WARNING,
        (),
        "an input without a scheme is a path, whatever tags there are: no such file",
        "write tag:// before the name",
    ),
    "save-results": Code(
        WARNING,
        (31,),
        "a job that ends with its map fails with NotImplementedError when it saves partitioned results",
        "set partitions=None, or write save=True",
    ),
    "missing-module": Code(
        WARNING,
        (24, 30),
        "the import fails where the module is not installed, and the job with it",
        "install it on every node, or name it in required_modules",
    ),
    # What a pipeline says
    "concurrent-first-stage": Code(
        WARNING,
        (4,),
        "the job is accepted and never runs a task",
        "let the first stage not be concurrent",
    ),
    "plain-urls": Code(
        WARNING,
        (32,),
        "an input of a pipeline that is no list of urls makes a pack that a master refuses: invalid_job_inputs",
        "write a list with the one url",
    ),
    "generator-init": Code(
        WARNING,
        (),
        "the init of a stage that has a yield in it does not run: the state is a generator",
        "return the state",
    ),
    "sort-without-combine": Code(
        WARNING,
        (),
        "sort=True of a stage is ignored without combine=True",
        "give both",
    ),
    "supplied-name": Code(
        WARNING,
        (),
        "the functions of a pipeline find no names that they have not imported: a NameError in every task",
        "import the name",
    ),
    "skipped-label": Code(
        WARNING,
        (),
        "the inputs of a label that input_hook leaves out are not processed",
        "return all labels from it",
    ),
    "unknown-label": Code(
        WARNING,
        (),
        "a label that input_hook makes up has no inputs; with combine=True process is called on nothing",
        "return labels that it was given",
    ),
    # What only Disco's own client cannot send
    "main-class": Code(
        CLIENT,
        (23,),
        "Disco's client sends classes by name, and a node has another __main__: AttributeError in every task",
        "move the class into a module",
    ),
    "local-class": Code(
        CLIENT,
        (23,),
        "Disco's client sends classes by name, and one defined inside of a function cannot be found by it",
        "move the class to the top level of a module",
    ),
    "function-globals": Code(
        CLIENT,
        (24,),
        "Disco's client sends only the code of a function that is an argument; the names of its module are NameErrors",
        "make it a staticmethod of a job class in a module, or import inside of the function",
    ),
    "function-closure": Code(
        CLIENT,
        (23, 24),
        "Disco's client sends a function without the variables around it, and each task fails to load it: TypeError",
        "hand such values over in params; do without a decorator that wraps the function",
    ),
    "function-defaults": Code(
        CLIENT,
        (24,),
        "Disco's client loses the defaults of keyword-only parameters",
        "use positional parameters with defaults, or params",
    ),
    "function-object": Code(
        CLIENT,
        (23,),
        "Disco's client sends an object by the name of its class, which a node cannot import",
        "use a function, or put the class into the module of the job",
    ),
    "open-file": Code(
        CLIENT,
        (),
        "Disco's client pickles parameters, and pickle refuses an open file: TypeError at submission",
        "give its text, or the file in required_files",
    ),
    "tag-in-list": Code(
        CLIENT,
        (),
        "Disco's client makes a list inside of a list of a tag in brackets, and what becomes of it is no input",
        "take the brackets around the tag away",
    ),
    "required-modules": Code(
        CLIENT,
        (30,),
        "Disco's client finds no imports on Python 3.6 and later: the module is missing in the job home",
        "name it in required_modules",
    ),
    "input-label": Code(
        CLIENT,
        (),
        "Disco's client gives all inputs of a pipeline the label 0",
        "let the first stage write labels, or submit a pack that is made here",
    ),
    # What a running task meets
    "fork-in-task": Code(
        WARNING,
        (47,),
        "a forked child has the pipe of the worker protocol, what it prints breaks the protocol, and it may outlive the"
        " task",
        "start other programs with subprocess, or let Disco run more tasks",
    ),
    "key-type": Code(
        WARNING,
        (17,),
        "the default partition function takes str and bytes keys only: the job fails",
        "convert the keys or give a partition function",
    ),
    "map-partition": Code(
        WARNING,
        (),
        "this_partition() is 0 in every map task; before Disco 0.5 it was the number of the task",
        "use Task.taskid, which every task has for itself",
    ),
    "message-rate": Code(
        WARNING,
        (2, 3),
        "ten messages of one task within a second kill the whole job; each line printed is one",
        "print less, or set status_interval=0",
    ),
    "method-parameters": Code(
        WARNING,
        (),
        "the parameters of reduce and of stream functions are counted to know what to pass, with the self of a method",
        "make it a staticmethod; what it needs of the job can be in params",
    ),
    "oob-key": Code(
        WARNING,
        (),
        "tasks that put the same key hide each other's values, and which one is read depends on their timing; those of"
        " attempts that failed count as well",
        "put Task.taskid into the keys, or let one task put each key",
    ),
    "os-error": Code(
        WARNING,
        (33,),
        "a task that ends with an OSError is tried up to a hundred times, with pauses that grow: the job seems to hang",
        "catch the error, or raise another one",
    ),
    "raw-host": Code(
        WARNING,
        (10,),
        "the text of a raw:// input becomes part of file names, which fails for blanks and long texts",
        "put such data into a file",
    ),
    "record-class": Code(
        WARNING,
        (23,),
        "records whose class no module defines cannot be read",
        "put the class into a module",
    ),
    "stdin-read": Code(
        WARNING,
        (46,),
        "standard input is the worker's connection to its master: reading it blocks the task or spoils the protocol",
        "read from the job's inputs or from a file in required_files",
    ),
    "stray-output": Code(
        WARNING,
        (45,),
        "what is printed past Python, by C code or child processes, breaks the worker protocol and the task is retried",
        "capture or redirect it",
    ),
    "uncompressed-shuffle": Code(
        WARNING,
        (43,),
        "a reader stops after the first of several joined uncompressed files, and records are lost",
        "use compression_level 1 or higher",
    ),
    # What the external sort meets
    "sort-high-bytes": Code(
        WARNING,
        (14,),
        "the external sort fails on values whose pickles hold the byte 0xFF, such as text with the letter ÿ",
        "encode such values, for example as base64",
    ),
    "sort-long-records": Code(
        WARNING,
        (13,),
        "the external sort fails on records longer than 16384 bytes, and the task is tried up to a hundred times",
        "keep the records short, or sort in the reduce",
    ),
    "sort-special-bytes": Code(
        WARNING,
        (17,),
        "the external sort refuses keys with the bytes 0x00 or 0xFF: the job fails",
        "encode the keys, for example as hexadecimal digits",
    ),
    "sort-text-keys": Code(
        WARNING,
        (17,),
        "the external sort takes only bytes keys: the job fails",
        "encode the keys",
    ),
    # What is an error here too
    "bytes-input": Code(
        REFUSED,
        (38,),
        "an input that is bytes is taken for a list of numbers",
        "give a str",
    ),
    "generator-process": Code(
        REFUSED,
        (),
        "nothing runs of the process or done of a stage that has a yield in it",
        "write records with interface.output(label).add(key, value)",
    ),
    "max-cores": Code(
        REFUSED,
        (5,),
        "the job is accepted and never runs",
        "let max_cores be at least 1, or leave it out",
    ),
    "partition-range": Code(
        REFUSED,
        (19,),
        "the number is used as it is, and with one partition the records are lost",
        "return an int in range(nr_partitions)",
    ),
    "stage-named-input": Code(
        REFUSED,
        (),
        "the master takes the stage for the inputs of the job, and starts it anew whenever it ends: the job never ends",
        "give the stage another name",
    ),
    "unknown-argument": Code(
        REFUSED,
        (53,),
        "the argument has no effect, and nobody says so",
        "correct its name, or leave it out",
    ),
    # What only a check tells
    "local-file": Code(
        NOTE,
        (),
        "each node opens the path on its own disk",
        "have the file on every node, or give a url that all nodes can read",
    ),
}
