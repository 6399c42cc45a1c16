#include "json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

#define MAX_DEPTH 100

struct reader {
    const char *at, *end;
    int depth;
};

static struct json *read_value(struct reader *in);

static void skip_blanks(struct reader *in)
{
    while (in->at < in->end && *in->at && strchr(" \t\r\n", *in->at))
        in->at++;
}

/* Skips blanks and the character `wanted`; false when another one is there. */
static bool skip(struct reader *in, char wanted)
{
    skip_blanks(in);
    if (in->at == in->end || *in->at != wanted)
        return false;
    in->at++;
    return true;
}

static int read_hex4(struct reader *in)
{
    int code = 0;
    for (int digits = 0; digits < 4; digits++, in->at++) {
        if (in->at == in->end)
            return -1;
        char c = *in->at;
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (digit < 0)
            return -1;
        code = code * 16 + digit;
    }
    return code;
}

static size_t put_utf8(char *out, unsigned long code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xC0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xE0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3F));
        out[2] = (char)(0x80 | (code & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3F));
    out[2] = (char)(0x80 | (code >> 6 & 0x3F));
    out[3] = (char)(0x80 | (code & 0x3F));
    return 4;
}

/* Reads the escape after a backslash to `out`, which has room for it; returns the bytes written, 0 for nonsense. */
static size_t read_escape(struct reader *in, char *out)
{
    static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    if (in->at == in->end || !*in->at)
        return 0;
    char c = *in->at++;
    if (c != 'u') {
        const char *found = strchr(names, c);
        if (!found)
            return 0;
        *out = meanings[found - names];
        return 1;
    }
    long code = read_hex4(in);
    if (code < 0)
        return 0;
    if (code >= 0xD800 && code < 0xDC00 && in->end - in->at >= 6 && in->at[0] == '\\' && in->at[1] == 'u') {
        struct reader ahead = *in;
        ahead.at += 2;
        long low = read_hex4(&ahead);
        if (low >= 0xDC00 && low < 0xE000) {
            in->at = ahead.at;
            return put_utf8(out, (unsigned long)(0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)));
        }
    }
    return put_utf8(out, code >= 0xD800 && code < 0xE000 ? 0xFFFD : (unsigned long)code);
}

/* Reads the rest of a string behind its first quote. NULL for nonsense. */
static char *read_text(struct reader *in, size_t *length)
{
    const char *quote = in->at;
    while (quote < in->end && *quote != '"')
        quote += *quote == '\\' && quote + 1 < in->end ? 2 : 1;
    /* Decoding never makes a text longer. */
    char *text = get_memory((size_t)(quote - in->at) + 1), *out = text;
    while (in->at < in->end && *in->at != '"') {
        unsigned char c = (unsigned char)*in->at++;
        size_t bytes = 1;
        if (c == '\\')
            bytes = read_escape(in, out);
        else if (c >= ' ')
            *out = (char)c;
        else
            bytes = 0;
        if (!bytes)
            break;
        out += bytes;
        if (in->at == in->end)
            break;
    }
    if (in->at == in->end || *in->at != '"') {
        free(text);
        return NULL;
    }
    in->at++;
    *out = '\0';
    *length = (size_t)(out - text);
    return text;
}

static bool read_number(struct reader *in, struct json *value)
{
    char digits[64];
    size_t length = 0;
    while (in->at < in->end && length < sizeof digits - 1 && *in->at && strchr("+-.0123456789eE", *in->at))
        digits[length++] = *in->at++;
    digits[length] = '\0';
    char *end;
    errno = 0;
    value->kind = JSON_NUMBER;
    value->number = strtoll(digits, &end, 10);
    value->is_int = length && !*end && !errno;
    if (value->is_int)
        return digits[0] != '+';
    strtod(digits, &end);
    return length && !*end && digits[0] != '+' && digits[0] != '.';
}

static bool read_word(struct reader *in, const char *word)
{
    size_t length = strlen(word);
    if ((size_t)(in->end - in->at) < length || memcmp(in->at, word, length) != 0)
        return false;
    in->at += length;
    return true;
}

/* Reads the values of an array or object behind its bracket. */
static bool read_values(struct reader *in, struct json *value, char bracket)
{
    struct json **tail = &value->first;
    if (skip(in, bracket))
        return true;
    do {
        char *key = NULL;
        size_t length;
        if (value->kind == JSON_OBJECT && (!skip(in, '"') || !(key = read_text(in, &length))))
            return false;
        if (key && !skip(in, ':')) {
            free(key);
            return false;
        }
        *tail = read_value(in);
        if (!*tail) {
            free(key);
            return false;
        }
        (*tail)->key = key;
        tail = &(*tail)->next;
        value->length++;
    } while (skip(in, ','));
    return skip(in, bracket);
}

static bool read_into(struct reader *in, struct json *value)
{
    skip_blanks(in);
    if (in->at == in->end)
        return false;
    switch (*in->at) {
    case '"':
        in->at++;
        value->kind = JSON_STRING;
        value->text = read_text(in, &value->length);
        return value->text != NULL;
    case '[':
        in->at++;
        value->kind = JSON_ARRAY;
        return read_values(in, value, ']');
    case '{':
        in->at++;
        value->kind = JSON_OBJECT;
        return read_values(in, value, '}');
    case 't':
        value->kind = JSON_BOOL;
        value->number = 1;
        return read_word(in, "true");
    case 'f':
        value->kind = JSON_BOOL;
        return read_word(in, "false");
    case 'n':
        return read_word(in, "null");
    default:
        return read_number(in, value);
    }
}

static struct json *read_value(struct reader *in)
{
    struct json *value = get_memory(sizeof *value);
    *value = (struct json){0};
    if (++in->depth > MAX_DEPTH || !read_into(in, value)) {
        json_free(value);
        return NULL;
    }
    in->depth--;
    return value;
}

struct json *json_parse(const char *text, size_t size)
{
    struct reader in = {text, text + size, 0};
    struct json *value = read_value(&in);
    skip_blanks(&in);
    if (value && in.at != in.end) {
        json_free(value);
        return NULL;
    }
    return value;
}

const struct json *json_get(const struct json *object, const char *key)
{
    if (!json_is(object, JSON_OBJECT))
        return NULL;
    const struct json *value = object->first;
    while (value && strcmp(value->key, key) != 0)
        value = value->next;
    return value;
}

const struct json *json_at(const struct json *array, size_t place)
{
    if (!json_is(array, JSON_ARRAY))
        return NULL;
    const struct json *value = array->first;
    while (value && place--)
        value = value->next;
    return value;
}

bool json_is(const struct json *value, enum json_kind kind)
{
    return value && value->kind == kind && (kind != JSON_NUMBER || value->is_int);
}

void json_free(struct json *value)
{
    while (value) {
        struct json *next = value->next;
        json_free(value->first);
        free(value->text);
        free(value->key);
        free(value);
        value = next;
    }
}
