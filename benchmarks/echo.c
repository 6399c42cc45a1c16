/* An external map that answers each record with itself, at once, as a map must. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static char *data[2];
static uint32_t size[2];

static int item(int which)
{
        if (fread(&size[which], 4, 1, stdin) != 1)
                return 0;
        data[which] = realloc(data[which], size[which] + 1);
        return data[which] && fread(data[which], 1, size[which], stdin) == size[which];
}

int main(void)
{
        const uint32_t one = 1;
        int left = 0;

        if (scanf("%d", &left) != 1 || getchar() != '\n')
                return 2;
        while (left-- > 0)
                getchar();
        while (item(0) && item(1)) {
                fwrite(&one, 4, 1, stdout);
                for (int which = 0; which < 2; which++) {
                        fwrite(&size[which], 4, 1, stdout);
                        fwrite(data[which], 1, size[which], stdout);
                }
                fflush(stdout);
        }
        return ferror(stdin) || ferror(stdout);
}
