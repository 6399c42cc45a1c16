/* The C library of external programs: map and reduce in C, as programs that read and write pairs.
 *
 *     standard input    parameters, then pairs: <size of key> <key> <size of value> <value>
 *     standard output   lists: <number of pairs>, then that many pairs
 *     standard error    lines: **<MSG> text    **<ERR> text
 *
 * Sizes and numbers are 32 bits, little-endian. A program calls read_parameters() once, then read_kv() until it
 * returns 0. A map answers each pair with one list before it reads the next; a reduce writes lists whenever it likes.
 * Output is sent when the program waits for input and when it ends. What cannot be read or written ends the program
 * with die(): input that is cut off, an item above 1 GiB, a pair too many or too few for its list, a full disk.
 *
 * docs/external.md has the formats byte by byte. Link with libdisco.a and -lJudy. Not for several threads at once.
 */
#ifndef DISCO_H
#define DISCO_H

#include <stdlib.h>

#include <Judy.h>

#ifdef __GNUC__
#define DISCO_FORMAT __attribute__((format(printf, 1, 2)))
#define DISCO_NORETURN __attribute__((noreturn))
#define DISCO_EXTENSION __extension__ /* C++ has no flexible arrays */
#else
#define DISCO_FORMAT
#define DISCO_NORETURN
#define DISCO_EXTENSION
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* A string of bytes, any bytes. One that is made by hand needs sizeof(p_entry) + sze + 1 bytes. */
typedef struct p_entry {
    unsigned int len;            /* length of the string */
    unsigned int sze;            /* length of the longest string that has room here */
    DISCO_EXTENSION char data[]; /* the string, with a zero byte behind it */
} p_entry;

/* Reads the parameters, before any pair: a JudySL array from names to values. The word of a value is a pointer to a
 * p_entry; where there are no parameters, the array is empty. */
Pvoid_t read_parameters(void);

/* Reads the next pair; returns 0 after the last one, and leaves key and value as they were. Both must point at NULL or
 * at an entry of an earlier call, of copy_entry() or of malloc(), which is used again or replaced by a larger one. */
int read_kv(p_entry **key, p_entry **val);

/* Begins a list of `num` pairs; as many write_kv() must follow. */
void write_num_prefix(int num);

/* Writes a pair of the list. */
void write_kv(const p_entry *key, const p_entry *val);

/* Makes *dst a copy of src. *dst is NULL or an entry as for read_kv(). The caller frees it. */
void copy_entry(p_entry **dst, const p_entry *src);

/* malloc() that never returns NULL. */
void *dxmalloc(unsigned int size);

/* Sends a message to the user; takes arguments like printf(). A line break within becomes a blank; what goes beyond 8 KiB
 * is cut off and ends with "...". Ten messages within a second end the job on a cluster. */
void msg(const char *fmt, ...) DISCO_FORMAT;

/* Ends the program, and the job with it, with a message of the same kind as the reason. */
void die(const char *fmt, ...) DISCO_FORMAT DISCO_NORETURN;

#ifdef __cplusplus
}
#endif

#endif
