/* Calls the C library as its tests ask: `driver MODE [ARGUMENT...]`. */
#define _XOPEN_SOURCE 700

#include <disco.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

static Pvoid_t params;
static p_entry *key, *value;

static void check(const p_entry *entry)
{
    if (entry->len > entry->sze || entry->data[entry->len])
        die("len %u sze %u", entry->len, entry->sze);
}

static void write_pair(const p_entry *left, const p_entry *right)
{
    write_num_prefix(1);
    write_kv(left, right);
}

static void echo(void)
{
    while (read_kv(&key, &value)) {
        check(key);
        check(value);
        write_pair(key, value);
    }
}

/* The first pair, many times. */
static void flood(void)
{
    read_kv(&key, &value);
    for (int i = 0; i < 20000; i++)
        write_pair(key, value);
}

/* The parameters as pairs, in their order in the array. */
static void dump(void)
{
    static uint8_t name[1 << 20];
    static p_entry *copy;
    Word_t *place;
    JSLF(place, params, name);
    while (place) {
        size_t length = strlen((const char *)name);
        check((const p_entry *)*place);
        free(copy);
        copy = dxmalloc((unsigned int)(sizeof(p_entry) + length + 1));
        copy->len = copy->sze = (unsigned int)length;
        memcpy(copy->data, name, length);
        write_pair(copy, (const p_entry *)*place);
        JSLN(place, params, name);
    }
}

/* Echoes through copies: a new one of each key, and one of all values in turn, whose room must never shrink. */
static void copies(void)
{
    static p_entry *again;
    unsigned int room = 0;
    while (read_kv(&key, &value)) {
        p_entry *copy = NULL;
        copy_entry(&copy, key);
        copy_entry(&copy, copy);
        copy_entry(&again, value);
        check(copy);
        check(again);
        if (again->sze < room)
            die("the room shrinks from %u to %u", room, again->sze);
        room = again->sze;
        memset(key->data, '-', key->len);
        memset(value->data, '-', value->len);
        write_pair(copy, again);
        free(copy);
    }
}

/* A list of `argv[0]` pairs of which `argv[1]` are written, and so on. */
static void lists(int argc, char **argv)
{
    copy_entry(&key, (const p_entry *)"\0\0\0\0\0\0\0\0");
    for (int i = 0; i + 1 < argc; i += 2) {
        write_num_prefix(atoi(argv[i]));
        for (int pairs = atoi(argv[i + 1]); pairs > 0; pairs--)
            write_kv(key, key);
    }
}

/* Writes a pair with sizes that its entries only claim to have. */
static void claim(unsigned int key_len, unsigned int value_len)
{
    key = dxmalloc(sizeof(p_entry) + 16);
    value = dxmalloc(sizeof(p_entry) + 16);
    key->len = key_len;
    value->len = value_len;
    write_pair(key, value);
}

static void ignore(int number)
{
    (void)number;
}

/* Signals every half millisecond that end system calls early. */
static void disturb(void)
{
    struct sigaction action;
    struct itimerval often = {{0, 500}, {0, 500}};
    memset(&action, 0, sizeof(action));
    action.sa_handler = ignore;
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    int size;

    if (!strcmp(mode, "disturbed") || !strcmp(mode, "flood"))
        disturb();
    if (!strcmp(mode, "own")) { /* reads its parameters itself: a line */
        char line[64];
        if (!fgets(line, sizeof(line), stdin))
            die("no line");
        msg("%s", line);
        echo();
        return 0;
    }
    if (!strcmp(mode, "late")) { /* only writes */
        lists(argc - 2, argv + 2);
        return 0;
    }
    params = read_parameters();
    if (!strcmp(mode, "params"))
        dump();
    else if (!strcmp(mode, "echo") || !strcmp(mode, "disturbed"))
        echo();
    else if (!strcmp(mode, "flood"))
        flood();
    else if (!strcmp(mode, "copies"))
        copies();
    else if (!strcmp(mode, "lists"))
        lists(argc - 2, argv + 2);
    else if (!strcmp(mode, "claim"))
        claim((unsigned int)strtoul(argv[2], NULL, 10), (unsigned int)strtoul(argv[3], NULL, 10));
    else if (!strcmp(mode, "copy")) {
        key = dxmalloc(sizeof(p_entry) + 16);
        key->len = (unsigned int)strtoul(argv[2], NULL, 10);
        copy_entry(&value, key);
    } else if (!strcmp(mode, "msg"))
        msg("%s", argv[2]);
    else if (!strcmp(mode, "zero"))
        msg("a%cb", 0);
    else if (!strcmp(mode, "die"))
        die("%s", argv[2]);
    else if (!strcmp(mode, "exit")) {
        lists(argc - 3, argv + 3);
        exit(atoi(argv[2]));
    } else if (!strcmp(mode, "malloc")) {
        for (size = 0; size < 100; size++)
            free(dxmalloc((unsigned int)size));
        free(dxmalloc((unsigned int)strtoul(argv[2], NULL, 10)));
    } else if (!strcmp(mode, "leak"))
        *(volatile char *)dxmalloc(16) = 0;
    return 0;
}
