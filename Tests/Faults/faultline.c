/* faultline: records what a program does to the files below one directory, and breaks it on request (LD_PRELOAD).
 *
 * usage: FAULT_ROOT=/state FAULT_TRACE=t FAULT_RULES='fdatasync:6:EIO' LD_PRELOAD=$PWD/faultline.so nearhub serve …
 * build: cc -O2 -Wall -Wextra -Werror -fPIC -shared -o faultline.so faultline.c -ldl -lpthread
 *
 * FAULT_ROOT        the directory whose files are watched, absolute
 * FAULT_TRACE       receives one binary record for each operation, and for each answer that leaves; unset: no trace
 * FAULT_RULES       faults to inject; FAULT_RULES_FILE: a file that holds them, read again when it changes
 *
 * A rule is OP[/GLOB]:WHEN:ACTION; rules are separated by ';' or newline, and the first that matches acts.
 *   OP      read (by pread) write fsync fdatasync sync (both syncs) truncate rename unlink open
 *   GLOB    on the last component of the name, as in write/devices*
 *   WHEN    7 | 7-9 | 7+ | * | %10 (percent, FAULT_SEED) | @4096 (write: this many bytes have been taken before;
 *           read: what touches the page from this byte on, as in read/devices*:@4096:EIO)
 *   ACTION  an errno's name | short[=N] | delay=MS | kill | killafter | lie (the sync says 0 and does nothing)
 * At @N an errno lets a short write or read through up to byte N first, as a full disk or a bad sector does.
 *
 * Not seen: stores through mmap (reported), io_uring, raw syscall(), stdio inside the C library. Who reads the trace
 * compares what it rebuilds with the real directory, and refuses a trace that does not explain it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { CREATE = 1, WRITE, TRUNCATE, RENAME, UNLINK, LINK, SYNC_BEGIN, SYNC_END, OUT, MKDIR, MMAP, ALLOCATE };

/* One operation; both names (without FAULT_ROOT) and the data follow. Little endian, read as "<IBBHHHIqqqIiQ". */
struct record {
    uint32_t magic;
    uint8_t type, is_directory;
    uint16_t path_length, path2_length, padding;
    uint32_t thread;
    int64_t inode, offset, length;
    uint32_t data_length;
    int32_t error;
    uint64_t nanoseconds;
} __attribute__((packed));

enum action { NONE, FAIL, SHORT, DELAY, KILL, KILL_AFTER, LIE };
enum { GO_ON = 0, FAILS = -1, LIES = -2, BAD_SECTOR = 4096, MAXIMUM_RULES = 32, MAXIMUM_BUFFERS = 64 };

struct rule {
    char operation[12], glob[64];
    long from, to, bytes, percent, argument, calls;
    int error;
    enum action action;
};

static char root[PATH_MAX];
static size_t root_length;
static int trace = -1, rule_count;
static struct rule rules[MAXIMUM_RULES];
static struct timespec rules_time;
static long written;
static __thread long position; /* where the read under way begins */
static unsigned seed = 1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static const struct {
    const char *name;
    int value;
} errors[] = {{"EIO", EIO},       {"ENOSPC", ENOSPC}, {"EINTR", EINTR},   {"EDQUOT", EDQUOT},
              {"EROFS", EROFS},   {"EMFILE", EMFILE}, {"ENFILE", ENFILE}, {"ENOMEM", ENOMEM},
              {"EAGAIN", EAGAIN}, {"EACCES", EACCES}, {"EFBIG", EFBIG},   {0, 0}};

/* ---- Rules ------------------------------------------------------------------------------------------------------- */

static void parse_action(struct rule *rule, char *what) {
    char *equals = strchr(what, '=');
    if (equals) {
        *equals = 0;
        rule->argument = atol(equals + 1);
    }
    if (!strcmp(what, "short")) rule->action = SHORT;
    else if (!strcmp(what, "delay")) rule->action = DELAY;
    else if (!strcmp(what, "kill")) rule->action = KILL;
    else if (!strcmp(what, "killafter")) rule->action = KILL_AFTER;
    else if (!strcmp(what, "lie")) rule->action = LIE;
    for (int i = 0; errors[i].name; i++) {
        if (strcmp(what, errors[i].name)) continue;
        rule->action = FAIL;
        rule->error = errors[i].value;
    }
}

static void parse_when(struct rule *rule, const char *when) {
    if (*when == '@') rule->bytes = atol(when + 1);
    else if (*when == '%') rule->percent = atol(when + 1);
    else if (*when != '*') {
        char *end;
        rule->from = strtol(when, &end, 10);
        rule->to = *end == '-' ? atol(end + 1) : *end == '+' ? LONG_MAX : rule->from;
    }
}

static void parse_rules(char *text) {
    char *save = 0;
    rule_count = 0;
    for (char *part = strtok_r(text, ";\n", &save); part; part = strtok_r(0, ";\n", &save)) {
        struct rule rule = {.from = 1, .to = LONG_MAX, .bytes = -1, .percent = -1, .glob = "*"};
        char target[80], when[32], what[32];
        part += strspn(part, " ");
        if (!*part || *part == '#') continue;
        if (sscanf(part, "%79[^:]:%31[^:]:%31[^: ]", target, when, what) == 3) {
            char *slash = strchr(target, '/');
            if (slash) {
                *slash = 0;
                snprintf(rule.glob, sizeof rule.glob, "%.63s", slash + 1);
            }
            snprintf(rule.operation, sizeof rule.operation, "%.11s", target);
            parse_when(&rule, when);
            parse_action(&rule, what);
        }
        if (rule.action == NONE || rule_count == MAXIMUM_RULES) {
            fprintf(stderr, "faultline: not a rule, or one too many: %s\n", part);
            _exit(99);
        }
        rules[rule_count++] = rule;
    }
}

/* Reads FAULT_RULES_FILE again if it has changed; under the lock. */
static void reload(void) {
    static char text[4096];
    struct stat status;
    const char *file = getenv("FAULT_RULES_FILE");
    if (!file || stat(file, &status)) return;
    if (!memcmp(&status.st_mtim, &rules_time, sizeof rules_time)) return;
    rules_time = status.st_mtim;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC);
    long count = fd < 0 ? 0 : syscall(SYS_read, fd, text, sizeof text - 1);
    if (fd >= 0) syscall(SYS_close, fd);
    text[count > 0 ? count : 0] = 0;
    written = 0;
    parse_rules(text);
}

__attribute__((constructor)) static void start(void) {
    const char *directory = getenv("FAULT_ROOT"), *file = getenv("FAULT_TRACE");
    const char *text = getenv("FAULT_RULES"), *number = getenv("FAULT_SEED");
    if (!directory || !realpath(directory, root)) root[0] = 0;
    root_length = strlen(root);
    if (file && *file) {
        /* A high descriptor, so that the program's own numbers stay as they were. */
        int fd = (int)syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        for (int to = 900; fd >= 0 && trace < 0 && to > 20; to /= 2)
            trace = (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, to);
        if (fd >= 0) syscall(SYS_close, fd);
    }
    if (number) seed = (unsigned)atoi(number);
    if (text) {
        static char copy[4096];
        snprintf(copy, sizeof copy, "%s", text);
        parse_rules(copy);
    }
}

static int matches(struct rule *rule, const char *operation, const char *name, long length) {
    int is_sync = !strcmp(rule->operation, "sync") && strstr(operation, "sync");
    if (strcmp(rule->operation, operation) && !is_sync) return 0;
    if (fnmatch(rule->glob, name, 0)) return 0;
    rule->calls++;
    if (rule->percent >= 0) return rand_r(&seed) % 100 < rule->percent;
    if (rule->bytes >= 0 && !strcmp(operation, "read"))
        return position + length > rule->bytes && position < rule->bytes + BAD_SECTOR;
    if (rule->bytes >= 0) return written + length > rule->bytes;
    return rule->calls >= rule->from && rule->calls <= rule->to;
}

/* What the rules say of a call: GO_ON, FAILS (with errno), LIES, or the length of a short write. Called unlocked. */
static long decide(const char *operation, const char *path, long length, int *kills_after) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    long verdict = GO_ON, delay = 0;
    int error = 0, is_decided = 0;
    pthread_mutex_lock(&lock);
    reload();
    for (int i = 0; i < rule_count && !is_decided; i++) {
        struct rule *rule = &rules[i];
        if (!matches(rule, operation, name, length)) continue;
        is_decided = 1;
        switch (rule->action) {
        case DELAY:
            delay += rule->argument;
            is_decided = 0;
            break;
        case KILL: kill(getpid(), SIGKILL); break;
        case KILL_AFTER:
            *kills_after = 1;
            is_decided = 0;
            break;
        case LIE: verdict = LIES; break;
        case SHORT:
            verdict = rule->argument ? rule->argument : length / 2;
            if (verdict >= length || length < 2) verdict = GO_ON;
            break;
        default: {
            long before = strcmp(operation, "read") ? written : position;
            verdict = rule->bytes > before ? rule->bytes - before : FAILS;
            error = rule->error;
        }
        }
    }
    pthread_mutex_unlock(&lock);
    if (delay) {
        struct timespec time = {delay / 1000, delay % 1000 * 1000000};
        nanosleep(&time, 0);
    }
    if (verdict == FAILS) errno = error;
    return verdict;
}

/* ---- Names ------------------------------------------------------------------------------------------------------- */

static int is_below(const char *path) {
    return root_length && !strncmp(path, root, root_length) && (path[root_length] == '/' || !path[root_length]);
}

/* The path of an open file; whether it is below the root. */
static int descriptor_path(int fd, char *out) {
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long count = syscall(SYS_readlinkat, AT_FDCWD, link, out, PATH_MAX - 1);
    out[count > 0 ? count : 0] = 0;
    char *gone = count > 10 ? strstr(out + count - 10, " (deleted)") : 0;
    if (gone) *gone = 0;
    return count > 0 && is_below(out);
}

/* The absolute path of a name, whose last component may not exist yet; whether it is below the root. */
static int absolute_path(int directory, const char *name, char *out) {
    char parent[PATH_MAX], full[PATH_MAX];
    int count;
    if (*name == '/') count = snprintf(full, sizeof full, "%s", name);
    else {
        if (directory != AT_FDCWD) descriptor_path(directory, parent);
        else if (!getcwd(parent, sizeof parent)) return 0;
        count = snprintf(full, sizeof full, "%s/%s", parent, name);
    }
    char *slash = count < (int)sizeof full ? strrchr(full, '/') : 0;
    if (!slash) return 0;
    *slash = 0;
    if (!realpath(*full ? full : "/", parent)) return 0;
    return snprintf(out, PATH_MAX, "%s/%s", parent, slash + 1) < PATH_MAX && is_below(out);
}

/* ---- Trace ------------------------------------------------------------------------------------------------------- */

struct event {
    int type, is_directory, error;
    const char *path, *path2;
    int64_t inode, offset, length;
    const struct iovec *buffers;
    int buffer_count;
    size_t data_length;
};

/* Appends a record; under the lock, so that the order of the records is that of the operations. */
static void emit(struct event event) {
    if (trace < 0) return;
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    const char *a = event.path && is_below(event.path) ? event.path + root_length : "";
    const char *b = event.path2 && is_below(event.path2) ? event.path2 + root_length : "";
    struct record record = {
        .magic = 0x314c5446,
        .type = (uint8_t)event.type,
        .is_directory = (uint8_t)event.is_directory,
        .path_length = (uint16_t)strlen(a),
        .path2_length = (uint16_t)strlen(b),
        .thread = (uint32_t)syscall(SYS_gettid),
        .inode = event.inode,
        .offset = event.offset,
        .length = event.length,
        .data_length = (uint32_t)event.data_length,
        .error = event.error,
        .nanoseconds = (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec,
    };
    struct iovec parts[3 + MAXIMUM_BUFFERS] = {
        {&record, sizeof record}, {(void *)a, record.path_length}, {(void *)b, record.path2_length}};
    int count = 3;
    size_t left = event.data_length;
    for (int i = 0; i < event.buffer_count && left && count < 3 + MAXIMUM_BUFFERS; i++) {
        size_t length = event.buffers[i].iov_len < left ? event.buffers[i].iov_len : left;
        parts[count++] = (struct iovec){event.buffers[i].iov_base, length};
        left -= length;
    }
    syscall(SYS_writev, trace, parts, count);
}

/* An answer counts as given from before it leaves. */
static void emit_answer(int fd, const struct iovec *buffers, int count) {
    if (trace < 0) return;
    size_t length = 0;
    for (int i = 0; i < count; i++) length += buffers[i].iov_len;
    pthread_mutex_lock(&lock);
    emit((struct event){.type = OUT, .inode = fd, .length = (int64_t)length, .buffers = buffers,
                        .buffer_count = count, .data_length = length});
    pthread_mutex_unlock(&lock);
}

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

static ssize_t plain_write(int fd, const struct iovec *buffers, int count, off_t offset) {
    if (offset < 0) return syscall(SYS_writev, fd, buffers, count);
    return syscall(SYS_pwritev, fd, buffers, count, (unsigned long)offset, 0ul);
}

/* An offset of -1 is the file's position. */
static ssize_t do_write(int fd, const struct iovec *buffers, int count, off_t offset) {
    struct stat status;
    struct iovec cut;
    char path[PATH_MAX];
    int kills_after = 0;
    if (fstat(fd, &status)) return plain_write(fd, buffers, count, offset);
    if (S_ISSOCK(status.st_mode)) emit_answer(fd, buffers, count);
    if (!S_ISREG(status.st_mode) || !descriptor_path(fd, path)) return plain_write(fd, buffers, count, offset);
    size_t length = 0;
    for (int i = 0; i < count; i++) length += buffers[i].iov_len;
    long verdict = decide("write", path, (long)length, &kills_after);
    if (verdict == FAILS) return -1;
    if (verdict > 0) {
        cut = buffers[0];
        if (cut.iov_len > (size_t)verdict) cut.iov_len = (size_t)verdict;
        buffers = &cut;
        count = 1;
    }
    pthread_mutex_lock(&lock);
    fstat(fd, &status);
    int appends = (int)syscall(SYS_fcntl, fd, F_GETFL) & O_APPEND;
    off_t at = appends ? status.st_size : offset >= 0 ? offset : syscall(SYS_lseek, fd, 0, SEEK_CUR);
    ssize_t done = plain_write(fd, buffers, count, offset);
    int error = errno;
    if (done > 0) {
        written += done;
        emit((struct event){.type = WRITE, .path = path, .inode = (int64_t)status.st_ino, .offset = at, .length = done,
                            .buffers = buffers, .buffer_count = count, .data_length = (size_t)done});
    }
    pthread_mutex_unlock(&lock);
    if (kills_after) kill(getpid(), SIGKILL);
    errno = error;
    return done;
}

#define ONE(data, length) &(struct iovec){(void *)(data), (length)}, 1

ssize_t write(int fd, const void *data, size_t length) { return do_write(fd, ONE(data, length), -1); }
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
    return do_write(fd, ONE(data, length), offset);
}
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
    return do_write(fd, ONE(data, length), offset);
}
ssize_t writev(int fd, const struct iovec *buffers, int count) { return do_write(fd, buffers, count, -1); }
ssize_t pwritev(int fd, const struct iovec *buffers, int count, off_t offset) {
    return do_write(fd, buffers, count, offset);
}
ssize_t pwritev64(int fd, const struct iovec *buffers, int count, off64_t offset) {
    return do_write(fd, buffers, count, offset);
}

ssize_t send(int fd, const void *data, size_t length, int flags) {
    emit_answer(fd, ONE(data, length));
    return syscall(SYS_sendto, fd, data, length, flags, 0, 0);
}
ssize_t sendto(int fd, const void *data, size_t length, int flags, const struct sockaddr *to, socklen_t to_length) {
    emit_answer(fd, ONE(data, length));
    return syscall(SYS_sendto, fd, data, length, flags, to, to_length);
}
ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    emit_answer(fd, message->msg_iov, (int)message->msg_iovlen);
    return syscall(SYS_sendmsg, fd, message, flags);
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

static ssize_t do_read(int fd, void *data, size_t length, off_t offset) {
    struct stat status;
    char path[PATH_MAX];
    int kills_after = 0;
    if (!fstat(fd, &status) && S_ISREG(status.st_mode) && descriptor_path(fd, path)) {
        position = offset;
        long verdict = decide("read", path, (long)length, &kills_after);
        if (verdict == FAILS) return -1;
        if (verdict > 0) length = (size_t)verdict;
    }
    return syscall(SYS_pread64, fd, data, length, offset);
}
ssize_t pread(int fd, void *data, size_t length, off_t offset) { return do_read(fd, data, length, offset); }
ssize_t pread64(int fd, void *data, size_t length, off64_t offset) { return do_read(fd, data, length, offset); }

/* ---- Syncing: its begin and its end, since only what was written before the begin is covered --------------------- */

static void emit_sync(int type, const char *path, const struct stat *status, int error) {
    pthread_mutex_lock(&lock);
    emit((struct event){.type = type, .path = path, .inode = (int64_t)status->st_ino,
                        .is_directory = S_ISDIR(status->st_mode), .error = error});
    pthread_mutex_unlock(&lock);
}

static int do_sync(int fd, const char *operation, long number) {
    struct stat status;
    char path[PATH_MAX];
    int kills_after = 0;
    if (fstat(fd, &status) || !descriptor_path(fd, path)) return (int)syscall(number, fd);
    emit_sync(SYNC_BEGIN, path, &status, 0);
    long verdict = decide(operation, path, 0, &kills_after);
    if (verdict == LIES) return 0;
    int result = verdict == FAILS ? -1 : (int)syscall(number, fd);
    int error = result ? errno : 0;
    emit_sync(SYNC_END, path, &status, error);
    if (kills_after) kill(getpid(), SIGKILL);
    errno = error;
    return result;
}

int fsync(int fd) { return do_sync(fd, "fsync", SYS_fsync); }
int fdatasync(int fd) { return do_sync(fd, "fdatasync", SYS_fdatasync); }

/* ---- Sizes ------------------------------------------------------------------------------------------------------- */

static int do_truncate(int fd, off_t length) {
    struct stat status;
    char path[PATH_MAX];
    int kills_after = 0;
    if (fstat(fd, &status) || !S_ISREG(status.st_mode) || !descriptor_path(fd, path))
        return (int)syscall(SYS_ftruncate, fd, length);
    if (decide("truncate", path, 0, &kills_after) == FAILS) return -1;
    pthread_mutex_lock(&lock);
    int result = (int)syscall(SYS_ftruncate, fd, length), error = errno;
    if (!result)
        emit((struct event){.type = TRUNCATE, .path = path, .inode = (int64_t)status.st_ino, .length = length});
    pthread_mutex_unlock(&lock);
    if (kills_after) kill(getpid(), SIGKILL);
    errno = error;
    return result;
}
int ftruncate(int fd, off_t length) { return do_truncate(fd, length); }
int ftruncate64(int fd, off64_t length) { return do_truncate(fd, length); }

static int do_allocate(int fd, int mode, off_t offset, off_t length) {
    struct stat status;
    char path[PATH_MAX];
    pthread_mutex_lock(&lock);
    int result = (int)syscall(SYS_fallocate, fd, mode, offset, length), error = errno;
    if (!result && !fstat(fd, &status) && descriptor_path(fd, path))
        emit((struct event){.type = ALLOCATE, .path = path, .inode = (int64_t)status.st_ino, .is_directory = mode != 0,
                            .offset = offset, .length = status.st_size});
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}
int fallocate(int fd, int mode, off_t offset, off_t length) { return do_allocate(fd, mode, offset, length); }
int fallocate64(int fd, int mode, off64_t offset, off64_t length) { return do_allocate(fd, mode, offset, length); }
int posix_fallocate(int fd, off_t offset, off_t length) { return do_allocate(fd, 0, offset, length) ? errno : 0; }
int posix_fallocate64(int fd, off64_t offset, off64_t length) { return do_allocate(fd, 0, offset, length) ? errno : 0; }

/* ---- Opening, and changes of names ------------------------------------------------------------------------------- */

static int do_open(int directory, const char *name, int flags, mode_t mode) {
    struct stat status;
    char path[PATH_MAX];
    int kills_after = 0;
    if (!absolute_path(directory, name, path)) return (int)syscall(SYS_openat, directory, name, flags, mode);
    if (decide("open", path, 0, &kills_after) == FAILS) return -1;
    pthread_mutex_lock(&lock);
    int was_there = !lstat(path, &status);
    off_t size = was_there ? status.st_size : 0;
    int fd = (int)syscall(SYS_openat, directory, name, flags, mode), error = errno;
    if (fd >= 0 && !fstat(fd, &status)) {
        int creates = !was_there && flags & O_CREAT, empties = was_there && size && flags & O_TRUNC;
        if (creates || empties)
            emit((struct event){
                .type = creates ? CREATE : TRUNCATE, .path = path, .inode = (int64_t)status.st_ino, .length = 0});
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return fd;
}

#define MODE(flags, mode)                          \
    mode_t mode = 0;                               \
    if ((flags) & (O_CREAT | O_TMPFILE)) {         \
        va_list arguments;                         \
        va_start(arguments, flags);                \
        mode = (mode_t)va_arg(arguments, mode_t);  \
        va_end(arguments);                         \
    }

int open(const char *name, int flags, ...) {
    MODE(flags, mode)
    return do_open(AT_FDCWD, name, flags, mode);
}
int open64(const char *name, int flags, ...) {
    MODE(flags, mode)
    return do_open(AT_FDCWD, name, flags, mode);
}
int openat(int directory, const char *name, int flags, ...) {
    MODE(flags, mode)
    return do_open(directory, name, flags, mode);
}
int openat64(int directory, const char *name, int flags, ...) {
    MODE(flags, mode)
    return do_open(directory, name, flags, mode);
}
int __open_2(const char *name, int flags) { return do_open(AT_FDCWD, name, flags, 0); }
int __open64_2(const char *name, int flags) { return do_open(AT_FDCWD, name, flags, 0); }
int creat(const char *name, mode_t mode) { return do_open(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode); }

static int do_rename(int from, const char *a, int to, const char *b, unsigned flags) {
    struct stat status;
    char path[PATH_MAX], path2[PATH_MAX];
    int kills_after = 0, is_from = absolute_path(from, a, path), is_to = absolute_path(to, b, path2);
    if (!is_from && !is_to) return (int)syscall(SYS_renameat2, from, a, to, b, flags);
    if (decide("rename", path2, 0, &kills_after) == FAILS) return -1;
    pthread_mutex_lock(&lock);
    int result = (int)syscall(SYS_renameat2, from, a, to, b, flags), error = errno;
    if (!result && !lstat(path2, &status))
        emit((struct event){
            .type = RENAME, .path = path, .path2 = path2, .inode = (int64_t)status.st_ino, .length = flags});
    pthread_mutex_unlock(&lock);
    if (kills_after) kill(getpid(), SIGKILL);
    errno = error;
    return result;
}
int rename(const char *a, const char *b) { return do_rename(AT_FDCWD, a, AT_FDCWD, b, 0); }
int renameat(int from, const char *a, int to, const char *b) { return do_rename(from, a, to, b, 0); }
int renameat2(int from, const char *a, int to, const char *b, unsigned flags) {
    return do_rename(from, a, to, b, flags);
}

static int do_unlink(int directory, const char *name, int flags) {
    struct stat status;
    char path[PATH_MAX];
    int kills_after = 0;
    if (!absolute_path(directory, name, path)) return (int)syscall(SYS_unlinkat, directory, name, flags);
    if (decide("unlink", path, 0, &kills_after) == FAILS) return -1;
    pthread_mutex_lock(&lock);
    int was_there = !lstat(path, &status), result = (int)syscall(SYS_unlinkat, directory, name, flags), error = errno;
    if (!result && was_there)
        emit((struct event){.type = UNLINK, .path = path, .inode = (int64_t)status.st_ino,
                            .is_directory = S_ISDIR(status.st_mode)});
    pthread_mutex_unlock(&lock);
    if (kills_after) kill(getpid(), SIGKILL);
    errno = error;
    return result;
}
int unlink(const char *name) { return do_unlink(AT_FDCWD, name, 0); }
int unlinkat(int directory, const char *name, int flags) { return do_unlink(directory, name, flags); }
int remove(const char *name) { return do_unlink(AT_FDCWD, name, 0); }

static int do_link(int from, const char *a, int to, const char *b, int flags) {
    struct stat status;
    char path[PATH_MAX], path2[PATH_MAX];
    absolute_path(from, a, path);
    int is_below_root = absolute_path(to, b, path2);
    pthread_mutex_lock(&lock);
    int result = (int)syscall(SYS_linkat, from, a, to, b, flags), error = errno;
    if (!result && is_below_root && !lstat(path2, &status))
        emit((struct event){.type = LINK, .path = path, .path2 = path2, .inode = (int64_t)status.st_ino});
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}
int link(const char *a, const char *b) { return do_link(AT_FDCWD, a, AT_FDCWD, b, 0); }
int linkat(int from, const char *a, int to, const char *b, int flags) { return do_link(from, a, to, b, flags); }

static int do_mkdir(int directory, const char *name, mode_t mode) {
    struct stat status;
    char path[PATH_MAX];
    int is_below_root = absolute_path(directory, name, path);
    pthread_mutex_lock(&lock);
    int result = (int)syscall(SYS_mkdirat, directory, name, mode), error = errno;
    if (!result && is_below_root && !lstat(path, &status))
        emit((struct event){.type = MKDIR, .path = path, .inode = (int64_t)status.st_ino, .is_directory = 1});
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}
int mkdir(const char *name, mode_t mode) { return do_mkdir(AT_FDCWD, name, mode); }
int mkdirat(int directory, const char *name, mode_t mode) { return do_mkdir(directory, name, mode); }

static void *do_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
    char path[PATH_MAX];
    if (fd >= 0 && protection & PROT_WRITE && flags & MAP_SHARED && root_length && descriptor_path(fd, path)) {
        pthread_mutex_lock(&lock);
        emit((struct event){.type = MMAP, .path = path, .offset = offset, .length = (int64_t)length});
        pthread_mutex_unlock(&lock);
    }
    return (void *)syscall(SYS_mmap, address, length, protection, flags, fd, offset);
}
void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
    return do_mmap(address, length, protection, flags, fd, offset);
}
void *mmap64(void *address, size_t length, int protection, int flags, int fd, off64_t offset) {
    return do_mmap(address, length, protection, flags, fd, offset);
}
