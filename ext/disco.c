#define _POSIX_C_SOURCE 200809L

#include "disco.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAX_ITEM (1U << 30)
#define BUFFER (1U << 16)
#define MAX_MESSAGE 8192

static int ending;           /* how the program ended has been said */
static unsigned int owed;    /* pairs that the list begun last still lacks */
static size_t pending;       /* bytes written here since standard output was flushed here */
static size_t room = 512;    /* bytes that surely fit into the buffer of standard output */

/* Messages */

static void write_all(const char *data, size_t size)
{
    while (size) {
        ssize_t written = write(STDERR_FILENO, data, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return; /* nobody is left who could be told */
        data += written;
        size -= (size_t)written;
    }
}

/* Where a text of `size` bytes is to be cut so that no UTF-8 character is left in part. */
static size_t whole_characters(const char *text, size_t size)
{
    while (size && ((unsigned char)text[size] & 0xC0) == 0x80)
        size--;
    return size;
}

static void say(const char *kind, const char *fmt, va_list arguments)
{
    static const char cut[] = "...";
    char line[MAX_MESSAGE + sizeof(cut) + 16];
    size_t start = strlen(kind), size;
    int length;

    memcpy(line, kind, start);
    length = vsnprintf(line + start, MAX_MESSAGE, fmt, arguments);
    if (length < 0) {
        static const char instead[] = "a message that cannot be printed";
        memcpy(line + start, instead, size = sizeof(instead) - 1);
    } else if (length >= MAX_MESSAGE) {
        size = whole_characters(line + start, MAX_MESSAGE - 1 - (sizeof(cut) - 1));
        memcpy(line + start + size, cut, sizeof(cut) - 1);
        size += sizeof(cut) - 1;
    } else {
        size = (size_t)length;
    }
    for (size_t i = start; i < start + size; i++)
        if (line[i] == '\n' || line[i] == '\r' || line[i] == '\0')
            line[i] = ' ';
    line[start + size] = '\n';
    write_all(line, start + size + 1);
}

void msg(const char *fmt, ...)
{
    va_list arguments;
    va_start(arguments, fmt);
    say("**<MSG> ", fmt, arguments);
    va_end(arguments);
}

void die(const char *fmt, ...)
{
    va_list arguments;
    va_start(arguments, fmt);
    say("**<ERR> ", fmt, arguments);
    va_end(arguments);
    if (ending)
        _exit(1); /* exit() has been called already */
    ending = 1;
    exit(1);
}

/* Memory */

static void *allocate(size_t size)
{
    void *memory = malloc(size ? size : 1);
    if (!memory)
        die("out of memory: %lu bytes are not to be had", (unsigned long)size);
    return memory;
}

void *dxmalloc(unsigned int size)
{
    return allocate(size);
}

/* Gives an entry room for `len` bytes, and no content. Rooms grow by at least half, so that ever longer strings do not
 * cost an allocation each. */
static void make_room(p_entry **entry, unsigned int len)
{
    unsigned int size = len;
    if (*entry) {
        unsigned int old = (*entry)->sze;
        if (old >= len)
            return;
        if (old < MAX_ITEM / 2 && len < old + old / 2)
            size = old + old / 2;
        free(*entry);
    }
    *entry = (p_entry *)allocate(sizeof(p_entry) + size + 1);
    (*entry)->sze = size;
}

void copy_entry(p_entry **dst, const p_entry *src)
{
    if (*dst == src)
        return;
    if (src->len > MAX_ITEM)
        die("copy_entry: an entry of %u bytes, when %u is the most", src->len, MAX_ITEM);
    make_room(dst, src->len);
    (*dst)->len = src->len;
    memcpy((*dst)->data, src->data, src->len);
    (*dst)->data[src->len] = '\0';
}

/* Output */

/* Writes and flushes; 0 or -1. No signal comes in between: stdio loses what is in its buffer when one interrupts it. */
static int send(const void *data, size_t size)
{
    sigset_t all, before;
    int good, reason;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    good = fwrite(data, 1, size, stdout) == size && fflush(stdout) == 0;
    reason = errno;
    sigprocmask(SIG_SETMASK, &before, NULL);
    errno = reason;
    pending = 0;
    return good ? 0 : -1;
}

static void flush(void)
{
    if (send("", 0))
        die("cannot write standard output: %s", strerror(errno));
}

static void put(const void *data, size_t size)
{
    if (size > room - pending)
        flush();
    if (size > room ? send(data, size) : fwrite(data, 1, size, stdout) != size)
        die("cannot write standard output: %s", strerror(errno));
    if (size <= room)
        pending += size;
}

static void put_number(unsigned int number)
{
    unsigned char bytes[4];
    for (int i = 0; i < 4; i++)
        bytes[i] = (unsigned char)(number >> 8 * i & 0xFF);
    put(bytes, sizeof(bytes));
}

static void put_item(const char *what, const p_entry *item)
{
    if (item->len > MAX_ITEM)
        die("External %s size exceeded: %u bytes", what, item->len);
    put_number(item->len);
    put(item->data, item->len);
}

/* Return from main() flushes standard output, but tells nobody that it could not. */
static void finish(void)
{
    if (ending)
        return;
    ending = 1;
    flush();
    if (owed)
        die("the program ends, and its last list lacks %u pairs", owed);
}

/* Whoever writes nothing needs no check at the end. */
static void check_the_end(void)
{
    static int asked;
    if (!asked && atexit(finish))
        die("atexit failed");
    asked = 1;
}

void write_num_prefix(int num)
{
    check_the_end();
    if (num < 0)
        die("write_num_prefix: %d pairs", num);
    if (owed)
        die("write_num_prefix: the list before lacks %u pairs", owed);
    put_number((unsigned int)num);
    owed = (unsigned int)num;
}

void write_kv(const p_entry *key, const p_entry *val)
{
    if (!owed)
        die("write_kv: a pair too many for its list, or one without write_num_prefix");
    put_item("key", key);
    put_item("value", val);
    owed--;
}

/* Input */

/* Bytes that can be read without waiting, as far as stdio lets us see. 0 is always safe: it only costs a flush. */
static size_t at_hand(FILE *in)
{
#if defined(__GLIBC__)
    return (size_t)(in->_IO_read_end - in->_IO_read_ptr);
#elif defined(__APPLE__) || defined(__FreeBSD__)
    return in->_r > 0 ? (size_t)in->_r : 0;
#else
    (void)in;
    return 0;
#endif
}

/* Reads `size` bytes; fewer at the end of the input. Whoever sends them may want to see our answers first. */
static size_t get(void *data, size_t size)
{
    size_t got = 0;
    if (at_hand(stdin) < size)
        flush();
    while ((got += fread((char *)data + got, 1, size - got, stdin)) < size) {
        if (feof(stdin))
            break;
        if (errno != EINTR)
            die("cannot read standard input: %s", strerror(errno));
        clearerr(stdin);
    }
    return got;
}

static void get_all(const char *what, void *data, size_t size)
{
    size_t got = get(data, size);
    if (got < size)
        die("standard input ends after %lu of %lu bytes of %s", (unsigned long)got, (unsigned long)size, what);
}

/* Reads an item behind its size. */
static void get_item(const char *what, const unsigned char *bytes, p_entry **item)
{
    unsigned int len = 0;
    for (int i = 0; i < 4; i++)
        len |= (unsigned int)bytes[i] << 8 * i;
    if (len > MAX_ITEM)
        die("External %s size exceeded: %u bytes", what, len);
    make_room(item, len);
    (*item)->len = len;
    (*item)->data[len] = '\0';
    get_all(what, (*item)->data, len);
}

int read_kv(p_entry **key, p_entry **val)
{
    unsigned char bytes[4];
    size_t got = get(bytes, sizeof(bytes));
    if (got == 0)
        return 0;
    if (got < sizeof(bytes))
        die("standard input ends after %lu of 4 bytes of the size of a key", (unsigned long)got);
    get_item("key", bytes, key);
    get_all("the size of a value", bytes, sizeof(bytes));
    get_item("value", bytes, val);
    return 1;
}

/* Parameters: "<n>\n" and n bytes of entries "<length> <name> <length> <value>\n" */

/* Takes a number and the byte behind it from the front of a text; returns what follows, or NULL. */
static const char *number(const char *text, const char *end, char mark, unsigned int *value)
{
    const char *start = text;
    for (*value = 0; text < end && *text >= '0' && *text <= '9'; text++) {
        if (*value > MAX_ITEM / 10)
            return NULL;
        *value = *value * 10 + (unsigned int)(*text - '0');
    }
    if (*value > MAX_ITEM)
        return NULL;
    return text > start && text < end && *text == mark ? text + 1 : NULL;
}

/* Takes "<length> <item>" and the byte behind it from the front of a text; returns what follows, or NULL. */
static const char *netstring(const char *text, const char *end, char mark, p_entry **item)
{
    unsigned int len;
    text = number(text, end, ' ', &len);
    if (!text || (size_t)(end - text) <= len || text[len] != mark)
        return NULL;
    make_room(item, len);
    (*item)->len = len;
    memcpy((*item)->data, text, len);
    (*item)->data[len] = '\0';
    return text + len + 1;
}

static void insert(Pvoid_t *params, const p_entry *name, p_entry *value)
{
    PPvoid_t place;
    Word_t *word;
    if (memchr(name->data, '\0', name->len))
        die("a parameter with a zero byte in its name cannot be in a JudySL array");
    place = JudySLIns(params, (const uint8_t *)name->data, PJE0);
    if (!place || place == PPJERR)
        die("out of memory: parameter %s", name->data);
    word = (Word_t *)place;
    free((p_entry *)*word); /* a name that comes again counts as it comes last */
    *word = (Word_t)value;
}

static unsigned int get_length(void)
{
    char digits[12] = "";
    unsigned int len;
    size_t size = 0;
    do
        if (size == sizeof(digits) || get(digits + size, 1) == 0)
            die("the parameters do not begin with a length and a newline");
    while (digits[size++] != '\n');
    if (!number(digits, digits + size, '\n', &len))
        die("the parameters do not begin with a length and a newline");
    return len;
}

Pvoid_t read_parameters(void)
{
    static char in[BUFFER], out[BUFFER];
    Pvoid_t params = NULL;
    p_entry *name = NULL;
    unsigned int len;
    char *text;

    /* That of a pipe is small; nothing has been read or written yet. */
    setvbuf(stdin, in, _IOFBF, sizeof(in));
    if (setvbuf(stdout, out, _IOFBF, sizeof(out)) == 0)
        room = sizeof(out);

    len = get_length();
    text = (char *)dxmalloc(len);
    get_all("the parameters", text, len);
    for (const char *rest = text, *end = text + len; rest < end;) {
        p_entry *value = NULL;
        const char *from = rest;
        rest = netstring(rest, end, ' ', &name);
        if (rest)
            rest = netstring(rest, end, '\n', &value);
        if (!rest)
            die("the entry at byte %lu of the parameters is damaged", (unsigned long)(from - text));
        insert(&params, name, value);
    }
    free(name);
    free(text);
    return params;
}
