/* Memory, and bytes that grow. Without memory the task ends as an error: another node may have more. */
#ifndef MEMORY_H
#define MEMORY_H

#include <stdarg.h>
#include <stddef.h>

struct bytes {
    char *data; /* not ended by a zero */
    size_t size, room;
};

void *get_memory(size_t size);

void bytes_add(struct bytes *bytes, const void *data, size_t size);

/* Adds a text as `printf` would write it. */
void bytes_print(struct bytes *bytes, const char *format, ...) __attribute__((format(printf, 2, 3)));

void bytes_vprint(struct bytes *bytes, const char *format, va_list arguments) __attribute__((format(printf, 2, 0)));

/* Makes the bytes empty and gives their memory back. */
void bytes_free(struct bytes *bytes);

#endif
