/* wallclock: lets a program see another wall clock, which may jump while it runs (LD_PRELOAD).
 *
 * usage: WALLCLOCK_FILE=f LD_PRELOAD=$PWD/wallclock.so nearhub serve …
 * build: cc -O2 -Wall -Wextra -Werror -fPIC -shared -o wallclock.so wallclock.c
 *
 * WALLCLOCK_FILE    8 bytes, a signed number in the machine's order: seconds that are added to the real time. The file
 *                   is mapped, so what is written into it holds at once. Sums beyond 64 bits become the nearest.
 *
 * Only the wall clock is another one: the monotonic clock, and all waits of the kernel, stay as they are. (libfaketime
 * loses the arguments of a Swift program, and knows no time beyond the calendar.)
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *shift;

__attribute__((constructor)) static void start(void) {
    const char *file = getenv("WALLCLOCK_FILE");
    int fd = file ? open(file, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *map = mmap(0, sizeof *shift, PROT_READ, MAP_SHARED, fd, 0);
    if (map != MAP_FAILED) shift = map;
    close(fd);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = (int)syscall(SYS_clock_gettime, clock, time);
    int is_wall = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
    if (result || !is_wall || !shift) return result;
    int64_t by = *shift, sum;
    if (__builtin_add_overflow((int64_t)time->tv_sec, by, &sum)) sum = by < 0 ? INT64_MIN : INT64_MAX;
    time->tv_sec = sum;
    return 0;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    struct timespec now;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *result) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (result) *result = now.tv_sec;
    return now.tv_sec;
}
