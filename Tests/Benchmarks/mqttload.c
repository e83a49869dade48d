/* mqttload: a closed loop of provisioning requests through a broker on 127.0.0.1, a new device name in each.
 *
 * usage: mqttload BROKERPORT CLIENTS WINDOW SECONDS [0|1]
 *        CLIENTS connections ask on /provision/request/ID with the given QoS (1), WINDOW requests are outstanding in all
 * environment: BENCH_KEY, BENCH_SECRET  files that hold the provision key and secret
 *              PREFIX                   start of the device names (default: the time, so that runs do not meet)
 * prints one line: RESULT requests=… rps=… p50_us=… p99_us=… bad=… success=…
 * build: cc -O2 -o mqttload mqttload.c -lmosquitto
 */
#define _GNU_SOURCE
#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { MAXIMUM_SAMPLES = 4000000 };

/* A connection; its answers come in the order of its requests, whose times are in a ring. */
typedef struct {
    struct mosquitto *mosquitto;
    int is_ready, waits_to_write;
    unsigned window, asked, answered;
    double *asked_at;
    char request[64], response[64];
} client_t;

static char key[64] = "provisionkey00000001", secret[64] = "provisionsecret00001", prefix[64];
static unsigned long names, successes, bad;
static size_t samples;
static float *latencies;
static int qos = 1;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void fail(const char *what, int code) {
    fprintf(stderr, "mqttload: %s: %d\n", what, code);
    exit(1);
}

static void read_line(const char *variable, char *line, size_t capacity) {
    const char *path = getenv(variable);
    if (!path) return;
    FILE *file = fopen(path, "r");
    if (!file || !fgets(line, (int)capacity, file)) fail(path, 0);
    line[strcspn(line, "\r\n")] = 0;
    fclose(file);
}

static void ask(client_t *client) {
    char body[512];
    int count = snprintf(
        body, sizeof body,
        "{\"deviceName\":\"dev-%s-%09lu\",\"provisionDeviceKey\":\"%s\",\"provisionDeviceSecret\":\"%s\"}", prefix,
        ++names, key, secret);
    client->asked_at[client->asked++ % client->window] = now();
    int code = mosquitto_publish(client->mosquitto, NULL, client->request, count, body, qos, false);
    if (code) fail("publish", code);
}

static void on_connect(struct mosquitto *mosquitto, void *context, int code) {
    if (code) fail("the broker refuses the connection", code);
    mosquitto_subscribe(mosquitto, NULL, ((client_t *)context)->response, 1);
}

static void on_subscribe(struct mosquitto *mosquitto, void *context, int mid, int count, const int *granted) {
    (void)mosquitto;
    (void)mid;
    if (count != 1 || granted[0] > 2) fail("the broker refuses the subscription", granted[0]);
    ((client_t *)context)->is_ready = 1;
}

static void on_message(struct mosquitto *mosquitto, void *context, const struct mosquitto_message *message) {
    (void)mosquitto;
    client_t *client = context;
    double asked_at = client->asked_at[client->answered++ % client->window];
    if (samples < MAXIMUM_SAMPLES) latencies[samples++] = (float)((now() - asked_at) * 1e6);
    if (memmem(message->payload, (size_t)message->payloadlen, "\"SUCCESS\"", 9)) successes++;
    else bad++;
    ask(client);
}

static void watch(int epoll, client_t *client, uint32_t index, int operation) {
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = index};
    if (client->waits_to_write) event.events |= EPOLLOUT;
    if (epoll_ctl(epoll, operation, mosquitto_socket(client->mosquitto), &event)) fail("epoll_ctl", 0);
}

static void start(client_t *client, int index, int port) {
    char id[32];
    snprintf(id, sizeof id, "load-%d-%d", getpid(), index);
    snprintf(client->request, sizeof client->request, "/provision/request/%s", id);
    snprintf(client->response, sizeof client->response, "/provision/response/%s", id);
    client->asked_at = calloc(client->window, sizeof *client->asked_at);
    client->mosquitto = mosquitto_new(id, true, client);
    if (!client->asked_at || !client->mosquitto) abort();
    mosquitto_int_option(client->mosquitto, MOSQ_OPT_TCP_NODELAY, 1);
    mosquitto_max_inflight_messages_set(client->mosquitto, 0);
    mosquitto_connect_callback_set(client->mosquitto, on_connect);
    mosquitto_subscribe_callback_set(client->mosquitto, on_subscribe);
    mosquitto_message_callback_set(client->mosquitto, on_message);
    int code = mosquitto_connect(client->mosquitto, "127.0.0.1", port, 60);
    if (code) fail("no broker", code);
}

static int ascending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

int main(int argc, char **argv) {
    if (argc < 5) {
        fprintf(stderr, "usage: mqttload BROKERPORT CLIENTS WINDOW SECONDS [0|1]\n");
        return 64;
    }
    int port = atoi(argv[1]), count = atoi(argv[2]), window = atoi(argv[3]);
    double seconds = atof(argv[4]);
    if (argc > 5) qos = atoi(argv[5]);
    if (count < 1 || window < count || window % count) fail("WINDOW is no multiple of CLIENTS", window);
    read_line("BENCH_KEY", key, sizeof key);
    read_line("BENCH_SECRET", secret, sizeof secret);
    snprintf(prefix, sizeof prefix, "%lx", (unsigned long)time(NULL));
    if (getenv("PREFIX")) snprintf(prefix, sizeof prefix, "%s", getenv("PREFIX"));

    mosquitto_lib_init();
    latencies = malloc(MAXIMUM_SAMPLES * sizeof *latencies);
    client_t *clients = calloc((size_t)count, sizeof *clients);
    if (!latencies || !clients) abort();
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < count; i++) {
        clients[i].window = (unsigned)(window / count);
        start(&clients[i], i, port);
        watch(epoll, &clients[i], (uint32_t)i, EPOLL_CTL_ADD);
    }
    double begun = now(), started = 0, time = begun;
    while (!started || time - started < seconds) {
        struct epoll_event events[64];
        int ready = epoll_wait(epoll, events, 64, 100);
        for (int i = 0; i < ready; i++) {
            struct mosquitto *mosquitto = clients[events[i].data.u32].mosquitto;
            int code = events[i].events & EPOLLOUT ? mosquitto_loop_write(mosquitto, 1) : 0;
            if (!code && events[i].events & ~(uint32_t)EPOLLOUT) code = mosquitto_loop_read(mosquitto, 1);
            if (code) fail("the connection was lost", code);
        }
        int are_ready = 1;
        for (int i = 0; i < count; i++) {
            client_t *client = &clients[i];
            are_ready &= client->is_ready;
            if (mosquitto_want_write(client->mosquitto) == client->waits_to_write) continue;
            client->waits_to_write = !client->waits_to_write;
            watch(epoll, client, (uint32_t)i, EPOLL_CTL_MOD);
        }
        time = now();
        if (!started && are_ready) {
            started = time;
            for (int i = 0; i < window; i++) ask(&clients[i % count]);
        } else if (!started && time - begun > 5) {
            fail("no subscription after 5 s", 0);
        }
    }
    qsort(latencies, samples, sizeof *latencies, ascending);
    double p50 = samples ? latencies[samples / 2] : 0, p99 = samples ? latencies[samples * 99 / 100] : 0;
    printf(
        "RESULT requests=%zu rps=%.0f p50_us=%.0f p99_us=%.0f bad=%lu success=%lu\n", samples,
        (double)samples / (time - started), p50, p99, bad, successes);
    return 0;
}
