/* A reader for JSON texts as a Disco master writes them: a tree of values, strings decoded to UTF-8. */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>

enum json_kind { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json {
    enum json_kind kind;
    bool is_int;          /* of a number: it fits `number` */
    long long number;     /* of a number or bool */
    char *text;           /* of a string: its bytes and a final zero, which `length` does not count */
    size_t length;        /* of a string: bytes; of an array or object: values */
    char *key;            /* of a value in an object */
    struct json *first;   /* of an array or object: its first value */
    struct json *next;    /* the value after this one in the same array or object */
};

/* The value that the `size` bytes at `text` stand for, or NULL when they are not one JSON value. */
struct json *json_parse(const char *text, size_t size);

/* The value with a key, or NULL when `object` is no object or has no such key. NULL is no object. */
const struct json *json_get(const struct json *object, const char *key);

/* The value at a place of an array, or NULL. */
const struct json *json_at(const struct json *array, size_t place);

/* Whether the value is there and of a kind; for JSON_NUMBER it must be an int. */
bool json_is(const struct json *value, enum json_kind kind);

void json_free(struct json *value);

#endif
