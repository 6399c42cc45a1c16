/* An external program that does what its parameter "do" says, letter by letter; see actor.py. */

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *key, *val;
static uint32_t klen, vlen;

static int item(char **data, uint32_t *size)
{
        if (fread(size, 4, 1, stdin) != 1)
                return 0;
        *data = realloc(*data, *size + 1);
        if (*size && fread(*data, *size, 1, stdin) != 1)
                exit(99);
        return 1;
}

static int pair(void)
{
        return item(&key, &klen) && item(&val, &vlen);
}

static void put(const char *data, uint32_t size)
{
        fwrite(&size, 4, 1, stdout);
        fwrite(data, 1, size, stdout);
}

static void echo(void)
{
        uint32_t one = 1;

        fwrite(&one, 4, 1, stdout);
        put(key, klen);
        put(val, vlen);
}

static const char *hex(const char *at)
{
        int byte, used;

        while (sscanf(at, "%2x%n", &byte, &used) == 1 && used == 2) {
                putchar(byte);
                at += 2;
        }
        fflush(stdout);
        return at;
}

static const char *say(const char *at)
{
        for (; *at != ';'; at++)
                fputc(*at == '~' ? '\n' : *at, stderr);
        return at + 1;
}

int main(int argc, char **argv)
{
        static char params[1 << 16];
        int size = 0, skip = 0;
        char *at;

        (void)argv;
        if (argc != 2 || scanf("%d", &size) != 1 || getchar() != '\n' || size >= (int)sizeof(params))
                return 98;
        if (fread(params, 1, size, stdin) != (size_t)size || sscanf(params, "2 do %*d %n", &skip) < 0)
                return 97;
        params[size - 1] = 0;
        for (at = params + skip; *at;) {
                switch (*at++) {
                case 'p': if (!pair()) return 96; break;
                case 'e': echo(); fflush(stdout); break;
                case 'E': while (pair()) { echo(); fflush(stdout); } break;
                case 'B': while (pair()) echo(); break;
                case 'R': while (pair()) ; break;
                case 'w': at = (char *)hex(at); break;
                case 't': at = (char *)say(at); break;
                case 'x': fflush(stdout); _exit((int)strtol(at, &at, 10)); break;
                case 'k': fflush(stdout); raise((int)strtol(at, &at, 10)); break;
                case 'c': fclose(stdout); break;
                case 's': for (;;) pause(); break;
                case 'g': if (!fork()) for (;;) pause(); break;
                default: return 95;
                }
        }
        return 0;
}
