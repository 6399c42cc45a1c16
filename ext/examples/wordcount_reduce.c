/* A reduce: the sum of the values of each key. The parameter "at least" leaves out keys with a smaller sum. */
#include <disco.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>

struct sum {
    struct sum *before;
    p_entry *key;
    unsigned long total;
};

static unsigned long parse(const p_entry *text)
{
    unsigned long number;
    char *end;
    errno = 0;
    number = strtoul(text->data, &end, 10);
    if (text->data[0] < '0' || text->data[0] > '9' || end != text->data + text->len || errno)
        die("not a number: <%s>", text->data);
    return number;
}

/* The sum of a key; a new one is put in front of the others. */
static struct sum *find_sum(Pvoid_t *sums, struct sum **last, p_entry *key)
{
    Word_t *place;
    JHSI(place, *sums, key->data, key->len);
    if (!*place) {
        struct sum *sum = dxmalloc(sizeof(struct sum));
        sum->before = *last;
        sum->key = NULL;
        sum->total = 0;
        copy_entry(&sum->key, key);
        *place = (Word_t)sum;
        *last = sum;
    }
    return (struct sum *)*place;
}

static void write_sum(const struct sum *sum)
{
    static p_entry *text;
    if (!text) {
        text = dxmalloc(sizeof(p_entry) + 32);
        text->sze = 31;
    }
    text->len = (unsigned int)snprintf(text->data, 32, "%lu", sum->total);
    write_kv(sum->key, text);
}

int main(void)
{
    static Pvoid_t params, sums;
    static p_entry *key, *value;
    static struct sum *last;
    unsigned long least = 0;
    int different = 0;
    Word_t *given;

    params = read_parameters();
    JSLG(given, params, (const uint8_t *)"at least");
    if (given)
        least = parse((const p_entry *)*given);

    while (read_kv(&key, &value)) {
        struct sum *sum = find_sum(&sums, &last, key);
        unsigned long number = parse(value);
        if (number > ULONG_MAX - sum->total)
            die("the sum of <%s> is too large", key->data);
        sum->total += number;
    }
    for (const struct sum *sum = last; sum; sum = sum->before) {
        different++;
        if (sum->total >= least) {
            write_num_prefix(1);
            write_sum(sum);
        }
    }
    msg("%d different keys", different);
    return 0;
}
