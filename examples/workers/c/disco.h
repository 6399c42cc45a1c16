/* A worker's end of Disco Worker Protocol 1.1.
 *
 * Frames go out on descriptor 2 and replies come in on descriptor 0, one reply for each message, in order:
 *
 *     WORKER -> OK    TASK -> TASK    INPUT -> INPUT    INPUT_ERR -> RETRY or FAIL    MSG, OUTPUT -> OK
 *     DONE, ERROR, FATAL: no reply; the master kills the worker
 *
 * Nothing else may be written to descriptor 1 or 2: both are the channel.
 */
#ifndef DISCO_H
#define DISCO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdnoreturn.h>

#include "memory.h"

/* What the master says about the task. */
struct disco_task {
    long long id;
    long long label;        /* of its group of inputs, 0 where the grouping does not look at labels */
    const char *stage;      /* its name in the pipeline */
    const char *jobfile;    /* path of the job pack on this node */
    const char *disco_data; /* directory of the files of all nodes that keep their data here */
    long long disco_port;   /* where other nodes serve theirs */
};

/* Says hello and asks for the task. */
void disco_start(struct disco_task *task);

/* The job data of the pack: whatever the client put behind the zip archive. */
struct bytes disco_jobdata(const struct disco_task *task);

/* Reads all inputs of the task and hands each file to `take`, whole. An input that cannot be read under any of
 * its urls ends the task as an error; `take` never sees a part of such an input. */
void disco_inputs(const struct disco_task *task, void (*take)(void *context, const struct bytes *data), void *context);

/* Writes a file, which appears whole or not at all, and reports it as an output with a label. `path` is relative
 * to the working directory. */
void disco_output(long long label, const char *path, const struct bytes *data);

/* Shows a line to the user. A master kills the job of a task that sends ten in a second. */
void disco_msg(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The task is complete. */
noreturn void disco_done(void);

/* This attempt failed and may be tried again. */
noreturn void disco_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Nothing can help: the whole job fails. */
noreturn void disco_fatal(const char *format, ...) __attribute__((format(printf, 1, 2)));

noreturn void disco_out_of_memory(void);

#endif
