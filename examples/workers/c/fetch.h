/* Reading what urls lead to. The functions that can fail return NULL, or why they failed. */
#ifndef FETCH_H
#define FETCH_H

#include "disco.h"

/* The files behind a url: one, or for `dir://` those that its index lists. */
struct files {
    struct bytes *list;
    size_t count;
};

void files_free(struct files *files);

/* Appends the content of a file. */
const char *fetch_file(const char *path, struct bytes *out);

/* Reads the files behind a url of `size` bytes. Of a `dir://` index only the lines with `label` count; NULL stands
 * for every label. `task` says where the files of the nodes are. On failure `files` is empty. */
const char *fetch_url(const char *url, size_t size, const long long *label, const struct disco_task *task, struct files *files);

#endif
