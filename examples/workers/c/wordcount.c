/* Word count in two stages, as a Disco worker.
 *
 *     map     text -> the words of each partition with their counts; the partition's number is the label
 *     reduce  the files of one label -> the words with their sums
 *
 * The number of partitions is the job data of the pack. Files hold one line `<length> <word> <length> <count>` for
 * each word, the oldest record format of Disco, sorted by the bytes of the words.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "disco.h"

#define FOLDER "wordcount"

struct entry {
    char *word; /* NULL: free */
    size_t length;
    unsigned long long count;
};

/* A hash table with open addressing; `room` is a power of two. */
struct counts {
    struct entry *entries;
    size_t used, room;
};

static struct entry *place_of(const struct counts *counts, const char *word, size_t length)
{
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)word[i]) * 1099511628211u;
    for (size_t at = (size_t)hash;; at++) {
        struct entry *entry = &counts->entries[at & (counts->room - 1)];
        if (!entry->word || (entry->length == length && memcmp(entry->word, word, length) == 0))
            return entry;
    }
}

static void grow(struct counts *counts)
{
    struct counts larger = {NULL, counts->used, counts->room ? counts->room * 2 : 1024};
    larger.entries = get_memory(larger.room * sizeof *larger.entries);
    memset(larger.entries, 0, larger.room * sizeof *larger.entries);
    for (size_t i = 0; i < counts->room; i++)
        if (counts->entries[i].word)
            *place_of(&larger, counts->entries[i].word, counts->entries[i].length) = counts->entries[i];
    free(counts->entries);
    *counts = larger;
}

static void add(struct counts *counts, const char *word, size_t length, unsigned long long count)
{
    if (counts->used >= counts->room / 2)
        grow(counts);
    struct entry *entry = place_of(counts, word, length);
    if (!entry->word) {
        entry->word = get_memory(length);
        memcpy(entry->word, word, length);
        entry->length = length;
        counts->used++;
    }
    entry->count += count;
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void count_words(void *context, const struct bytes *text)
{
    const char *at = text->data, *end = text->data + text->size;
    while (at < end) {
        const char *word = at;
        while (at < end && !is_blank(*at))
            at++;
        if (at > word)
            add(context, word, (size_t)(at - word), 1);
        at++;
    }
}

/* Reads `<length> <bytes><separator>` and moves on; the bytes are inside the data. */
static const char *read_item(const char **at, const char *end, char separator, size_t *length)
{
    const char *start = *at;
    size_t number = 0;
    while (start < end && *start >= '0' && *start <= '9' && number < (size_t)1 << 40)
        number = number * 10 + (size_t)(*start++ - '0');
    if (start == *at || start == end || *start != ' ' || (size_t)(end - start - 1) <= number || start[1 + number] != separator)
        disco_fatal("an input of the reduce is not a file of records");
    *length = number;
    *at = start + 1 + number + 1;
    return start + 1;
}

static void sum_records(void *context, const struct bytes *records)
{
    const char *at = records->data, *end = records->data + records->size;
    while (at < end) {
        size_t length, digits;
        const char *word = read_item(&at, end, ' ', &length);
        const char *count = read_item(&at, end, '\n', &digits);
        add(context, word, length, strtoull(count, NULL, 10));
    }
}

static int by_bytes(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    int order = memcmp(a->word, b->word, a->length < b->length ? a->length : b->length);
    return order ? order : (a->length > b->length) - (a->length < b->length);
}

/* Puts the entries side by side, sorted. */
static void sort(struct counts *counts)
{
    size_t used = 0;
    for (size_t i = 0; i < counts->room; i++)
        if (counts->entries[i].word)
            counts->entries[used++] = counts->entries[i];
    if (used)
        qsort(counts->entries, used, sizeof *counts->entries, by_bytes);
}

static long long partition(const struct entry *entry, long long partitions)
{
    long long sum = 0;
    for (size_t i = 0; i < entry->length; i++)
        sum += (unsigned char)entry->word[i];
    return sum % partitions;
}

/* Writes the words of one partition, all of them if there is but one, as an output with a label. */
static void write_part(const struct disco_task *task, const struct counts *counts, long long label, long long part, long long partitions)
{
    struct bytes data = {0};
    char path[100];
    for (size_t i = 0; i < counts->used; i++) {
        const struct entry *entry = &counts->entries[i];
        if (partition(entry, partitions) != part)
            continue;
        int digits = snprintf(NULL, 0, "%llu", entry->count);
        bytes_print(&data, "%zu ", entry->length);
        bytes_add(&data, entry->word, entry->length);
        bytes_print(&data, " %d %llu\n", digits, entry->count);
    }
    if (data.size) {
        snprintf(path, sizeof path, FOLDER "/%s-%lld-%lld", strcmp(task->stage, "map") ? "reduce" : "map", task->id, label);
        disco_output(label, path, &data);
    }
    bytes_free(&data);
}

static long long partitions_of(const struct disco_task *task)
{
    struct bytes data = disco_jobdata(task);
    bytes_add(&data, "", 1);
    char *end;
    long long partitions = strtoll(data.data, &end, 10);
    if (end == data.data || *end || partitions < 1 || partitions > 10000)
        disco_fatal("the job data is not a number of partitions from 1 to 10000");
    bytes_free(&data);
    return partitions;
}

int main(void)
{
    struct disco_task task;
    struct counts counts = {0};
    disco_start(&task);
    mkdir(FOLDER, 0777); /* tasks of the job share the working directory: it may be there */
    if (strcmp(task.stage, "map") == 0) {
        long long partitions = partitions_of(&task);
        disco_inputs(&task, count_words, &counts);
        sort(&counts);
        for (long long label = 0; label < partitions; label++)
            write_part(&task, &counts, label, label, partitions);
        disco_msg("%zu different words", counts.used);
    } else if (strcmp(task.stage, "reduce") == 0) {
        disco_inputs(&task, sum_records, &counts);
        sort(&counts);
        write_part(&task, &counts, task.label, 0, 1);
    } else
        disco_fatal("this worker has the stages map and reduce, not %s", task.stage);
    disco_done();
}
