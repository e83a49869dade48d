/* groupcommit.h: an append-only log with group commit, as small as C allows.
 *
 * One owner thread stages lines and notes who waits for them; a committer thread writes and syncs one
 * group at a time. While a group is on its way to the disk the next one is staged, so that the cost of a
 * sync is shared by all requests that arrived meanwhile.
 */
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

typedef struct {
    char *bytes;
    size_t count, capacity;
} buffer_t;

static void buffer_append(buffer_t *b, const char *bytes, size_t count) {
    if (b->count + count > b->capacity) {
        b->capacity = (b->count + count) * 2 + 65536;
        b->bytes = realloc(b->bytes, b->capacity);
        if (!b->bytes) abort();
    }
    memcpy(b->bytes + b->count, bytes, count);
    b->count += count;
}

/* A request whose answer may leave once the log is durable up to `position`. */
typedef struct {
    uint64_t position;
    void *request;
} waiter_t;

static struct {
    int file, event;             /* the log; the eventfd by which the committer reports */
    buffer_t staged, committing; /* owner's lines; the committer's while `busy` */
    uint64_t appended, group_end, durable;
    int busy;
    waiter_t *waiters; /* a ring: capacity is a power of two */
    size_t first, last, capacity;
    pthread_mutex_t mutex; /* guards work and done */
    pthread_cond_t wake;
    int work;
    uint64_t done;
} log_state = {.mutex = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

static void log_write_and_sync(const char *bytes, size_t count, uint64_t position) {
    while (count) {
        ssize_t written = pwrite(log_state.file, bytes, count, (off_t)position);
        if (written < 0) {
            if (errno == EINTR) continue;
            perror("pwrite");
            abort();
        }
        bytes += written;
        count -= (size_t)written;
        position += (uint64_t)written;
    }
    if (fdatasync(log_state.file)) {
        perror("fdatasync");
        abort();
    }
}

static void *log_committer(void *unused) {
    (void)unused;
    pthread_mutex_lock(&log_state.mutex);
    for (;;) {
        while (!log_state.work) pthread_cond_wait(&log_state.wake, &log_state.mutex);
        pthread_mutex_unlock(&log_state.mutex);
        size_t count = log_state.committing.count;
        log_write_and_sync(log_state.committing.bytes, count, log_state.group_end - count);
        pthread_mutex_lock(&log_state.mutex);
        log_state.work = 0;
        log_state.done = log_state.group_end;
        pthread_mutex_unlock(&log_state.mutex);
        uint64_t one = 1;
        if (write(log_state.event, &one, sizeof one) != sizeof one) abort();
        pthread_mutex_lock(&log_state.mutex);
    }
    return NULL;
}

static void log_open(const char *path) {
    log_state.event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    log_state.file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (log_state.event < 0 || log_state.file < 0) {
        perror(path);
        exit(1);
    }
    pthread_t thread;
    if (pthread_create(&thread, NULL, log_committer, NULL)) abort();
}

static void log_append(const char *line, size_t count) {
    buffer_append(&log_state.staged, line, count);
    log_state.appended += count;
}

/* The owner calls it after each round of events: starts the next group unless one is under way. */
static void log_kick(void) {
    if (!log_state.staged.count || log_state.busy) return;
    buffer_t swap = log_state.committing;
    log_state.committing = log_state.staged;
    log_state.staged = swap;
    log_state.staged.count = 0;
    log_state.group_end = log_state.appended;
    log_state.busy = 1;
    pthread_mutex_lock(&log_state.mutex);
    log_state.work = 1;
    pthread_cond_signal(&log_state.wake);
    pthread_mutex_unlock(&log_state.mutex);
}

/* The owner calls it when the eventfd is readable. */
static void log_group_done(void) {
    uint64_t times;
    if (read(log_state.event, &times, sizeof times) != sizeof times) return;
    pthread_mutex_lock(&log_state.mutex);
    log_state.durable = log_state.done;
    pthread_mutex_unlock(&log_state.mutex);
    log_state.busy = 0;
    log_kick();
}

static void log_wait(void *request) {
    if (log_state.last - log_state.first == log_state.capacity) {
        size_t capacity = log_state.capacity ? log_state.capacity * 2 : 1024;
        waiter_t *ring = malloc(capacity * sizeof *ring);
        if (!ring) abort();
        for (size_t i = log_state.first; i < log_state.last; i++)
            ring[i & (capacity - 1)] = log_state.waiters[i & (log_state.capacity - 1)];
        free(log_state.waiters);
        log_state.waiters = ring;
        log_state.capacity = capacity;
    }
    log_state.waiters[log_state.last++ & (log_state.capacity - 1)] = (waiter_t){log_state.appended, request};
}

/* The next request whose line is durable, or NULL. */
static void *log_next_released(void) {
    if (log_state.first == log_state.last) return NULL;
    waiter_t *next = &log_state.waiters[log_state.first & (log_state.capacity - 1)];
    if (next->position > log_state.durable) return NULL;
    log_state.first++;
    return next->request;
}
