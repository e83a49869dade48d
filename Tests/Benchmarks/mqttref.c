/* mqttref: the C reference that the daemon's MQTT face is measured against.
 * libmosquitto's own network thread, a guarded inbox and an eventfd to the owner, group commit on a third thread.
 *
 * usage: mqttref BROKERPORT LOG      a client of the broker on 127.0.0.1, truncates LOG
 * build: cc -O2 -o mqttref mqttref.c -lmosquitto -ljansson -lpthread
 */
#define _GNU_SOURCE
#include "refcore.h"
#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <signal.h>
#include <sys/epoll.h>

static const char REQUEST[] = "/provision/request", RESPONSE[] = "/provision/response";

/* One request, from its arrival until its answer is published. */
typedef struct {
    char *body, *topic;
    size_t count;
    char answer[256];
    size_t answer_count;
} request_t;

static struct mosquitto *client;
static struct {
    pthread_mutex_t mutex;
    request_t **requests;
    size_t count, capacity;
    int event;
} inbox = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void *must(void *memory) {
    if (!memory) abort();
    return memory;
}

/* Answers as the daemon does: QoS 0, not retained, with an expiry of a minute. */
static void answer(request_t *request) {
    mosquitto_property *properties = NULL;
    mosquitto_property_add_int32(&properties, MQTT_PROP_MESSAGE_EXPIRY_INTERVAL, 60);
    mosquitto_publish_v5(
        client, NULL, request->topic, (int)request->answer_count, request->answer, 0, false, properties);
    mosquitto_property_free_all(&properties);
    free(request->body);
    free(request->topic);
    free(request);
}

static void handle(request_t *request) {
    int waits;
    provision(request->body, request->count, request->answer, &request->answer_count, &waits);
    if (waits) log_wait(request);
    else answer(request);
}

/* On the network thread. */
static void on_message(
    struct mosquitto *mosquitto, void *context, const struct mosquitto_message *message,
    const mosquitto_property *properties) {
    (void)mosquitto;
    (void)context;
    (void)properties;
    request_t *request = must(calloc(1, sizeof *request));
    request->count = (size_t)message->payloadlen;
    request->body = must(malloc(request->count + 1));
    memcpy(request->body, message->payload, request->count);
    const char *level = message->topic + strlen(REQUEST);
    request->topic = must(malloc(strlen(RESPONSE) + strlen(level) + 1));
    sprintf(request->topic, "%s%s", RESPONSE, level);
    pthread_mutex_lock(&inbox.mutex);
    if (inbox.count == inbox.capacity) {
        inbox.capacity = inbox.capacity * 2 + 64;
        inbox.requests = must(realloc(inbox.requests, inbox.capacity * sizeof *inbox.requests));
    }
    int is_first = inbox.count == 0;
    inbox.requests[inbox.count++] = request;
    pthread_mutex_unlock(&inbox.mutex);
    uint64_t one = 1;
    if (is_first && write(inbox.event, &one, sizeof one) != sizeof one) abort();
}

static void on_connect(
    struct mosquitto *mosquitto, void *context, int code, int flags, const mosquitto_property *properties) {
    (void)context;
    (void)flags;
    (void)properties;
    if (code || mosquitto_subscribe(mosquitto, NULL, "/provision/request/+", 1)) {
        fprintf(stderr, "mqttref: the broker refuses: %d\n", code);
        exit(1);
    }
}

static void take_inbox(void) {
    uint64_t times;
    if (read(inbox.event, &times, sizeof times) != sizeof times) return;
    pthread_mutex_lock(&inbox.mutex);
    request_t **requests = inbox.requests;
    size_t count = inbox.count;
    inbox.requests = NULL;
    inbox.count = inbox.capacity = 0;
    pthread_mutex_unlock(&inbox.mutex);
    for (size_t i = 0; i < count; i++) handle(requests[i]);
    free(requests);
}

static void watch(int epoll, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) abort();
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: mqttref BROKERPORT LOG\n");
        return 64;
    }
    signal(SIGPIPE, SIG_IGN);
    log_open(argv[2]);
    inbox.event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    mosquitto_lib_init();
    client = must(mosquitto_new("mqttref", true, NULL));
    mosquitto_int_option(client, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5);
    mosquitto_int_option(client, MOSQ_OPT_TCP_NODELAY, 1);
    mosquitto_connect_v5_callback_set(client, on_connect);
    mosquitto_message_v5_callback_set(client, on_message);
    int code = mosquitto_connect(client, "127.0.0.1", atoi(argv[1]), 15);
    if (code || (code = mosquitto_loop_start(client))) {
        fprintf(stderr, "mqttref: %s\n", mosquitto_strerror(code));
        return 1;
    }
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    watch(epoll, inbox.event);
    watch(epoll, log_state.event);
    for (;;) {
        struct epoll_event events[4];
        int count = epoll_wait(epoll, events, 4, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == log_state.event) log_group_done();
            else take_inbox();
        }
        for (request_t *request; (request = log_next_released());) answer(request);
        log_kick();
    }
}
