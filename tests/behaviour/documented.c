/* An external map that lets through what has a value, with the functions of Disco's documents, word for word but for
 * the type of read_kv, which is void there. It leaves the parameters out by their length. */

#include <stdio.h>
#include <stdlib.h>

int read_kv(char **key, char **val)
{
        unsigned int len;
        *key = *val = NULL;
        /* read key */
        if (!fread(&len, 4, 1, stdin))
                return 0;
        if (len){
                *key = malloc(len);
                fread(*key, len, 1, stdin);
        }
        /* read value */
        fread(&len, 4, 1, stdin);
        if (len){
                *val = malloc(len);
                fread(*val, len, 1, stdin);
        }
        return 1;
}

void msg(const char *msg){
     fprintf(stderr, "**<MSG> %s\n", msg);
}

void die(const char *msg){
     fprintf(stderr, "**<ERR> %s\n", msg);
     exit(1);
}

int main(void)
{
        int size, pairs = 0;

        if (scanf("%d", &size) != 1 || getchar() != '\n')
                die("no parameters");
        while (size--)
                getchar();
        char *key, *val;
        while (read_kv(&key, &val)){
                unsigned int list[3] = {val != NULL, 0, 0};
                fwrite(list, 4, val ? 3 : 1, stdout);
                fflush(stdout);
                pairs += val != NULL;
                free(key);
                free(val);
        }
        if (!pairs)
                die("no value at all");
        msg("all read");
        return 0;
}
