/* slowsync: makes a fast disk behave like a gateway's eMMC or SD card: each fdatasync and fsync takes
 * SLOWSYNC_US microseconds longer (default 5000).
 *
 * usage: LD_PRELOAD=$PWD/slowsync.so SLOWSYNC_US=5000 nearhub serve …
 * build: cc -O2 -shared -fPIC -o slowsync.so slowsync.c -ldl
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static int slowly(const char *name, int fd) {
    union {
        void *symbol;
        int (*function)(int);
    } real = {.symbol = dlsym(RTLD_NEXT, name)};
    if (!real.symbol) abort();
    int result = real.function(fd);
    const char *text = getenv("SLOWSYNC_US");
    usleep(text ? (useconds_t)atol(text) : 5000);
    return result;
}

int fdatasync(int fd) { return slowly("fdatasync", fd); }

int fsync(int fd) { return slowly("fsync", fd); }
