/* synclimit: what one durable append costs on this disk: a write at the end of a growing file + fdatasync.
 *
 * usage: synclimit DIRECTORY SECONDS      makes a file of its own there and removes it
 * build: cc -O2 -o synclimit synclimit.c
 * prints: RESULT rps=… p50_us=… p99_us=… bad=0     (the same line as provision.lua)
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 450, SAMPLES = 4000000 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: synclimit DIRECTORY SECONDS\n");
        return 64;
    }
    double seconds = atof(argv[2]);
    char path[4096], line[LINE];
    snprintf(path, sizeof path, "%s/synclimit.%d", argv[1], (int)getpid());
    memset(line, 'x', sizeof line);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) die(path);
    unlink(path);
    double *latency = malloc(SAMPLES * sizeof *latency);
    if (!latency) die("malloc");
    size_t count = 0;
    double start = now(), before = start;
    while (before - start < seconds && count < SAMPLES) {
        if (pwrite(fd, line, LINE, (off_t)count * LINE) != LINE) die("pwrite");
        if (fdatasync(fd)) die("fdatasync");
        double after = now();
        latency[count++] = after - before;
        before = after;
    }
    if (!count) return 1;
    qsort(latency, count, sizeof *latency, by_value);
    printf(
        "RESULT rps=%.0f p50_us=%.0f p99_us=%.0f bad=0\n", (double)count / (before - start),
        latency[count / 2] * 1e6, latency[(size_t)((double)count * 0.99)] * 1e6);
    return 0;
}
