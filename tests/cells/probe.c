/* probe stat|read FILE SECONDS LIMIT_US: does one call every 2 ms, and fails if the p99 is over LIMIT_US. O_DIRECT and
 * AT_STATX_FORCE_SYNC take each call to the daemon. A latency counts from the moment at which the call was due: else a
 * mount that freezes for a second would cost a single sample. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PERIOD_US = 2000 };

static long now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000L + t.tv_nsec / 1000;
}

static int ascending(const void *a, const void *b) {
    return (*(const long *)a > *(const long *)b) - (*(const long *)a < *(const long *)b);
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    int calls = atoi(argv[3]) * 1000000L / PERIOD_US, reads = !strcmp(argv[1], "read");
    long *took = calloc(calls, sizeof *took), start = now_us();
    char *buffer = aligned_alloc(4096, 4096);
    struct statx stat;
    int file = open(argv[2], reads ? O_RDONLY | O_DIRECT : O_PATH);
    if (file < 0) return perror(argv[2]), 2;
    for (int n = 0; n < calls; n++) {
        long due = start + (long)n * PERIOD_US, early = due - now_us();
        if (early > 0) usleep(early);
        int bad = reads ? pread(file, buffer, 4096, n % 16 * 4096) != 4096
                        : statx(file, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &stat);
        if (bad) return perror(argv[1]), 2;
        took[n] = now_us() - due;
    }
    qsort(took, calls, sizeof *took, ascending);
    long p99 = took[calls * 99 / 100];
    printf("%s: p50 %ld us, p99 %ld us, max %ld us\n", argv[1], took[calls / 2], p99, took[calls - 1]);
    return p99 > atol(argv[4]);
}
