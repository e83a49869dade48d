/* upstreamref: what dialect journal publishes, as fast as a broker on 127.0.0.1 acknowledges it.
 *
 * usage: upstreamref BROKERPORT COUNT WINDOW
 *        COUNT retained messages of QoS 1 to topics of their own, WINDOW of them not acknowledged, and behind every
 *        tenth the cursor; MQTT 5
 * prints one line: RESULT requests=COUNT rps=… p50_us=… p99_us=… bad=0     times are from PUBLISH to PUBACK
 * build: cc -O2 -o upstreamref upstreamref.c -lmosquitto
 */
#define _GNU_SOURCE
#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HUB "5eed5eed5eed5eed5eed5eed5eed5eed"

enum { CURSOR_EVERY = 10, MAXIMUM_WINDOW = 1000 };

static unsigned long count, sent, acknowledged;
static unsigned window, outstanding;
static int is_connected;
/* By packet identifier: when it was published, and whether it was a device and no cursor. */
static struct { double at; int is_device; } published[65536];
static float *latencies;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void fail(const char *what, int code) {
    fprintf(stderr, "upstreamref: %s: %s\n", what, mosquitto_strerror(code));
    exit(1);
}

static void on_connect(struct mosquitto *mosquitto, void *context, int code) {
    (void)mosquitto;
    (void)context;
    if (code) fail("the broker refuses the connection", code);
    is_connected = 1;
}

static void on_publish(struct mosquitto *mosquitto, void *context, int mid) {
    (void)mosquitto;
    (void)context;
    if (!published[mid].is_device) return;
    latencies[acknowledged++] = (float)((now() - published[mid].at) * 1e6);
    outstanding--;
}

static void publish(struct mosquitto *mosquitto, const char *topic, const char *body, int length, int is_device) {
    int mid = 0;
    int code = mosquitto_publish(mosquitto, &mid, topic, length, body, 1, true);
    if (code) fail("publish", code);
    published[mid].at = now();
    published[mid].is_device = is_device;
}

static void publish_next(struct mosquitto *mosquitto) {
    char topic[128], body[512];
    sent++;
    snprintf(topic, sizeof topic, "nearhub/" HUB "/devices/%08lx-0000-4000-8000-000000000000", sent);
    int length = snprintf(
        body, sizeof body,
        "{\"seq\":%lu,\"name\":\"meter-%08lu\",\"profile\":\"bench\","
        "\"attributes\":{\"provisionState\":\"provisioned\"},\"credentialsType\":\"ACCESS_TOKEN\","
        "\"credentialsIdHash\":\"281c7ba06d0ac2ff651fa968572f26a38c96225ea54644522837b54b9c6144f7\"}",
        sent, sent);
    publish(mosquitto, topic, body, length, 1);
    outstanding++;
    if (sent % CURSOR_EVERY) return;
    length = snprintf(body, sizeof body, "{\"seq\":%lu}", sent);
    publish(mosquitto, "nearhub/" HUB "/cursor", body, length, 0);
}

static int ascending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

static void turn(struct mosquitto *mosquitto) {
    struct pollfd poller = {.fd = mosquitto_socket(mosquitto), .events = POLLIN};
    if (mosquitto_want_write(mosquitto)) poller.events |= POLLOUT;
    poll(&poller, 1, 1000);
    int code = poller.revents & POLLOUT ? mosquitto_loop_write(mosquitto, 1) : MOSQ_ERR_SUCCESS;
    if (!code && poller.revents & ~POLLOUT) code = mosquitto_loop_read(mosquitto, 100);
    if (!code) code = mosquitto_loop_misc(mosquitto);
    if (code) fail("the connection was lost", code);
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: upstreamref BROKERPORT COUNT WINDOW\n");
        return 64;
    }
    count = strtoul(argv[2], NULL, 10);
    window = (unsigned)atoi(argv[3]);
    if (count < 1 || window < 1 || window > MAXIMUM_WINDOW) {
        fprintf(stderr, "upstreamref: COUNT from 1 on, WINDOW from 1 to %d\n", MAXIMUM_WINDOW);
        return 64;
    }
    mosquitto_lib_init();
    latencies = malloc(count * sizeof *latencies);
    struct mosquitto *mosquitto = mosquitto_new("upstreamref", true, NULL);
    if (!latencies || !mosquitto) abort();
    mosquitto_int_option(mosquitto, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5);
    mosquitto_int_option(mosquitto, MOSQ_OPT_TCP_NODELAY, 1);
    mosquitto_max_inflight_messages_set(mosquitto, 0);
    mosquitto_connect_callback_set(mosquitto, on_connect);
    mosquitto_publish_callback_set(mosquitto, on_publish);
    int code = mosquitto_connect(mosquitto, "127.0.0.1", atoi(argv[1]), 15);
    if (code) fail("no broker", code);
    while (!is_connected) turn(mosquitto);
    double started = now();
    while (acknowledged < count) {
        while (sent < count && outstanding < window) publish_next(mosquitto);
        turn(mosquitto);
    }
    double took = now() - started;
    qsort(latencies, count, sizeof *latencies, ascending);
    printf(
        "RESULT requests=%lu rps=%.0f p50_us=%.0f p99_us=%.0f bad=0\n", count, (double)count / took,
        latencies[count / 2], latencies[count * 99 / 100]);
    return 0;
}
