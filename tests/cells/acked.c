/* acked FILE LOG: writes numbered 4 KiB blocks to FILE, and after each write that returned, their count to LOG.
 * acked --check FILE LOG: every block that LOG counts is in FILE. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 4096, WORDS = BLOCK / sizeof(unsigned) };

static void fill(unsigned *block, unsigned count) {
    for (int i = 0; i < WORDS; i++) block[i] = count * 2654435761u + i;
}

static int check(const char *file, const char *log) {
    unsigned acked = 0, want[WORDS], got[WORDS];
    int l = open(log, O_RDONLY), f = open(file, O_RDONLY);
    if (l < 0 || f < 0 || pread(l, &acked, sizeof acked, 0) != sizeof acked) return perror("open"), 2;
    for (unsigned n = 0; n < acked; n++) {
        fill(want, n);
        if (read(f, got, BLOCK) != BLOCK || memcmp(want, got, BLOCK))
            return printf("block %u of %u acknowledged ones is lost\n", n, acked), 1;
    }
    printf("%u acknowledged blocks are there\n", acked);
    return acked == 0;
}

int main(int argc, char **argv) {
    if (argc == 4 && !strcmp(argv[1], "--check")) return check(argv[2], argv[3]);
    unsigned block[WORDS];
    int f = open(argv[1], O_CREAT | O_WRONLY | O_TRUNC, 0644), l = open(argv[2], O_CREAT | O_WRONLY | O_TRUNC, 0644);
    if (argc != 3 || f < 0 || l < 0) return perror("open"), 2;
    for (unsigned n = 0;; n++) {
        fill(block, n);
        if (write(f, block, BLOCK) != BLOCK) return perror("write"), 1;
        unsigned acked = n + 1;
        if (pwrite(l, &acked, sizeof acked, 0) != sizeof acked) return perror("log"), 2;
    }
}
