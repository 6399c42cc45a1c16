#include "memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disco.h"

void *get_memory(size_t size)
{
    void *memory = malloc(size ? size : 1);
    if (!memory)
        disco_out_of_memory();
    return memory;
}

static void make_room(struct bytes *bytes, size_t more)
{
    if (bytes->room - bytes->size >= more)
        return;
    size_t room = bytes->size + more + bytes->size / 2 + 64;
    char *data = room > bytes->size ? realloc(bytes->data, room) : NULL;
    if (!data)
        disco_out_of_memory();
    bytes->data = data;
    bytes->room = room;
}

void bytes_add(struct bytes *bytes, const void *data, size_t size)
{
    make_room(bytes, size);
    if (size)
        memcpy(bytes->data + bytes->size, data, size);
    bytes->size += size;
}

void bytes_vprint(struct bytes *bytes, const char *format, va_list arguments)
{
    va_list again;
    va_copy(again, arguments);
    int size = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (size < 0)
        return;
    make_room(bytes, (size_t)size + 1);
    vsnprintf(bytes->data + bytes->size, (size_t)size + 1, format, arguments);
    bytes->size += (size_t)size;
}

void bytes_print(struct bytes *bytes, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    bytes_vprint(bytes, format, arguments);
    va_end(arguments);
}

void bytes_free(struct bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct bytes){0};
}
