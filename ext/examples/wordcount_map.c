/* A map: the words of each value, each with the number 1. */
#include <disco.h>

#include <string.h>

static int is_blank(char c)
{
    return c && strchr(" \t\n\r\v\f", c);
}

/* Finds the first word from `start` on; returns its length, 0 if there is none. */
static unsigned int find_word(const p_entry *text, unsigned int *start)
{
    unsigned int end;
    while (*start < text->len && is_blank(text->data[*start]))
        ++*start;
    for (end = *start; end < text->len && !is_blank(text->data[end]);)
        ++end;
    return end - *start;
}

int main(void)
{
    static p_entry *key, *text, *word, *one;

    one = dxmalloc(sizeof(p_entry) + 2);
    one->len = one->sze = 1;
    memcpy(one->data, "1", 2);

    read_parameters(); /* there are none, but the program has to read so much */
    while (read_kv(&key, &text)) {
        unsigned int start, length;
        int words = 0;
        for (start = 0; (length = find_word(text, &start)); start += length)
            words++;
        copy_entry(&word, text); /* so much room is enough for each word of it */
        write_num_prefix(words);
        for (start = 0; (length = find_word(text, &start)); start += length) {
            memcpy(word->data, text->data + start, length);
            word->len = length;
            write_kv(word, one);
        }
    }
    return 0;
}
