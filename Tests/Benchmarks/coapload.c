/* coapload: a closed loop of confirmable provisioning requests to 127.0.0.1, a new device name in each, without a library.
 *
 * usage: coapload PORT SOCKETS WINDOW SECONDS      WINDOW requests are outstanding in all, spread over SOCKETS source ports
 *        Understands answers in the acknowledgement and separate ones, which it acknowledges; sends again after 2 s.
 * environment: BENCH_KEY, BENCH_SECRET  files that hold the provision key and secret
 *              PREFIX                   start of the device names (default: the time, so that runs do not meet)
 * prints one line: RESULT requests=… rps=… p50_us=… p99_us=… bad=… success=… retransmitted=… separate=…
 * build: cc -O2 -o coapload coapload.c
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAXIMUM_SAMPLES = 4000000, MAXIMUM_SOCKETS = 1024, MAXIMUM_WINDOW = 4096 };
enum { CONFIRMABLE = 0, ACKNOWLEDGEMENT = 2, RESET = 3 };

/* A request that is outstanding; its token is its number in the window and how often that was used. */
typedef struct {
    int socket;
    uint16_t mid;
    uint32_t turn;
    double began, sent;
    int is_acknowledged;
    uint8_t datagram[1024];
    size_t count;
} slot_t;

static char key[64] = "provisionkey00000001", secret[64] = "provisionsecret00001", prefix[64];
static int sockets[MAXIMUM_SOCKETS], socket_count, window;
static uint16_t mids[MAXIMUM_SOCKETS];
static slot_t slots[MAXIMUM_WINDOW];
static float *latencies;
static size_t samples;
static unsigned long names, successes, bad, retransmitted, separate;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void read_line(const char *variable, char *line, size_t capacity) {
    const char *path = getenv(variable);
    if (!path) return;
    FILE *file = fopen(path, "r");
    if (!file || !fgets(line, (int)capacity, file)) {
        fprintf(stderr, "coapload: cannot read %s\n", path);
        exit(1);
    }
    line[strcspn(line, "\r\n")] = 0;
    fclose(file);
}

/* An option of less than 13 bytes whose number is at most 12 above the one before (RFC 7252 section 3.1). */
static uint8_t *option(uint8_t *end, unsigned delta, const char *value) {
    size_t count = strlen(value);
    *end++ = (uint8_t)(delta << 4 | count);
    memcpy(end, value, count);
    return end + count;
}

static void send_slot(slot_t *slot) {
    slot->sent = now();
    if (send(sockets[slot->socket], slot->datagram, slot->count, 0) < 0) bad++;
}

static void launch(uint32_t number) {
    slot_t *slot = &slots[number];
    slot->socket = (int)number % socket_count;
    slot->mid = ++mids[slot->socket];
    slot->turn++;
    slot->is_acknowledged = 0;
    uint8_t *end = slot->datagram;
    *end++ = 0x48; /* version 1, confirmable, a token of 8 bytes */
    *end++ = 2;    /* POST */
    *end++ = (uint8_t)(slot->mid >> 8);
    *end++ = (uint8_t)slot->mid;
    memcpy(end, &number, 4);
    memcpy(end + 4, &slot->turn, 4);
    end = option(end + 8, 11, "api"); /* Uri-Path */
    end = option(end, 0, "v1");
    end = option(end, 0, "provision");
    end = option(end, 1, "\x32"); /* Content-Format: application/json */
    *end++ = 0xff;
    size_t room = sizeof slot->datagram - (size_t)(end - slot->datagram);
    end += snprintf(
        (char *)end, room,
        "{\"deviceName\":\"dev-%s-%09lu\",\"provisionDeviceKey\":\"%s\",\"provisionDeviceSecret\":\"%s\"}", prefix,
        ++names, key, secret);
    slot->count = (size_t)(end - slot->datagram);
    slot->began = now();
    send_slot(slot);
}

static void acknowledge(int fd, const uint8_t *message) {
    const uint8_t empty[4] = {0x60, 0, message[2], message[3]};
    if (send(fd, empty, sizeof empty, 0) < 0) bad++;
}

/* A message without a code: the request has arrived, or was not understood. */
static void empty_message(int number, int type, uint16_t mid) {
    if (type == RESET) bad++;
    if (type != ACKNOWLEDGEMENT) return;
    for (int i = number; i < window; i += socket_count)
        if (slots[i].mid == mid) slots[i].is_acknowledged = 1;
}

static void message(int number, const uint8_t *bytes, size_t count) {
    int type = bytes[0] >> 4 & 3, token_count = bytes[0] & 15;
    if (!bytes[1]) return empty_message(number, type, (uint16_t)(bytes[2] << 8 | bytes[3]));
    if (type == CONFIRMABLE) acknowledge(sockets[number], bytes);
    if (token_count != 8 || count < 12) return;
    uint32_t slot, turn;
    memcpy(&slot, bytes + 4, 4);
    memcpy(&turn, bytes + 8, 4);
    if (slot >= (uint32_t)window || slots[slot].turn != turn) return; /* an answer that came before */
    if (type != ACKNOWLEDGEMENT) separate++;
    if (bytes[1] >> 5 != 2) bad++;
    if (memmem(bytes, count, "\"SUCCESS\"", 9)) successes++;
    if (samples < MAXIMUM_SAMPLES) latencies[samples++] = (float)((now() - slots[slot].began) * 1e6);
    launch(slot);
}

static void drain(int number) {
    uint8_t bytes[2048];
    for (ssize_t count; (count = recv(sockets[number], bytes, sizeof bytes, 0)) >= 4;)
        message(number, bytes, (size_t)count);
}

/* Sends again what has waited for 2 s, the least ACK_TIMEOUT of RFC 7252 section 4.8. */
static void resend(double time) {
    for (int i = 0; i < window; i++) {
        if (slots[i].is_acknowledged || time - slots[i].sent < 2) continue;
        retransmitted++;
        send_slot(&slots[i]);
    }
}

static void open_sockets(int epoll, uint16_t port) {
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    for (int i = 0; i < socket_count; i++) {
        sockets[i] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        mids[i] = (uint16_t)rand();
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        if (connect(sockets[i], (struct sockaddr *)&address, sizeof address) ||
            epoll_ctl(epoll, EPOLL_CTL_ADD, sockets[i], &event)) {
            perror("coapload");
            exit(1);
        }
    }
}

static int compare(const void *left, const void *right) {
    float a = *(const float *)left, b = *(const float *)right;
    return (a > b) - (a < b);
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: coapload PORT SOCKETS WINDOW SECONDS\n");
        return 64;
    }
    socket_count = atoi(argv[2]);
    window = atoi(argv[3]);
    double seconds = atof(argv[4]);
    if (window < 1 || window > MAXIMUM_WINDOW || socket_count < 1 || socket_count > MAXIMUM_SOCKETS) return 64;
    if (socket_count > window) socket_count = window;
    read_line("BENCH_KEY", key, sizeof key);
    read_line("BENCH_SECRET", secret, sizeof secret);
    const char *start = getenv("PREFIX");
    if (start) snprintf(prefix, sizeof prefix, "%s", start);
    else snprintf(prefix, sizeof prefix, "%lx-%x", (long)time(NULL), (unsigned)getpid());
    latencies = malloc(MAXIMUM_SAMPLES * sizeof *latencies);
    if (!latencies) return 1;
    srand((unsigned)getpid());
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    open_sockets(epoll, (uint16_t)atoi(argv[1]));
    double began = now(), time = began, checked = began;
    for (int i = 0; i < window; i++) launch((uint32_t)i);
    while (time - began < seconds) {
        struct epoll_event events[64];
        int count = epoll_wait(epoll, events, 64, 100);
        for (int i = 0; i < count; i++) drain((int)events[i].data.u32);
        time = now();
        if (time - checked < 0.25) continue;
        checked = time;
        resend(time);
    }
    qsort(latencies, samples, sizeof *latencies, compare);
    printf(
        "RESULT requests=%zu rps=%.0f p50_us=%.0f p99_us=%.0f bad=%lu success=%lu retransmitted=%lu separate=%lu\n",
        samples, (double)samples / (time - began), samples ? latencies[samples / 2] : 0.0F,
        samples ? latencies[samples * 99 / 100] : 0.0F, bad, successes, retransmitted, separate);
    return 0;
}
