/* coapref: the C reference that the daemon's CoAP face is measured against.
 * libcoap's epoll descriptor in an own epoll loop, group commit on a second thread.
 *
 * usage: coapref PORT LOG ack|async      listens on 127.0.0.1:PORT, truncates LOG
 *        ack    the answer goes in the acknowledgement once its line is durable: two datagrams a request
 *        async  libcoap's deferred answers: an empty acknowledgement at once, an answer later: four datagrams
 * build: cc -O2 -o coapref coapref.c -lcoap-3-gnutls -ljansson -lpthread
 */
#define _GNU_SOURCE
#include "refcore.h"
#include <arpa/inet.h>
#include <coap3/coap.h>
#include <netinet/in.h>
#include <sys/epoll.h>

/* One request, from its arrival until its answer is sent. */
typedef struct {
    coap_session_t *session;
    coap_async_t *async;
    coap_mid_t mid;
    size_t token_count, answer_count;
    int status, durable;
    uint8_t token[8];
    char answer[256];
} request_t;

static int piggybacked;

static void fill(coap_pdu_t *pdu, const request_t *request) {
    uint8_t format[4];
    coap_pdu_set_code(pdu, request->status == 200 ? COAP_RESPONSE_CODE_CREATED : COAP_RESPONSE_CODE_BAD_REQUEST);
    unsigned count = coap_encode_var_safe(format, sizeof format, COAP_MEDIATYPE_TEXT_PLAIN);
    coap_add_option(pdu, COAP_OPTION_CONTENT_FORMAT, count, format);
    coap_add_data(pdu, request->answer_count, (const uint8_t *)request->answer);
}

/* Keeps what the acknowledgement will need; a non-confirmable response without a code is not sent. */
static void wait_for_acknowledgement(
    request_t *request, coap_session_t *session, const coap_pdu_t *question, coap_pdu_t *response) {
    coap_bin_const_t token = coap_pdu_get_token(question);
    request->session = coap_session_reference(session);
    request->mid = coap_pdu_get_mid(question);
    request->token_count = token.length > sizeof request->token ? 0 : token.length;
    memcpy(request->token, token.s, request->token_count);
    coap_pdu_set_type(response, COAP_MESSAGE_NON);
}

/* libcoap calls it for each request, and once more for a deferred one when its answer is due. */
static void on_post(
    coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *question, const coap_string_t *query,
    coap_pdu_t *response) {
    (void)resource;
    (void)query;
    coap_async_t *async = piggybacked ? NULL : coap_find_async(session, coap_pdu_get_token(question));
    if (async) {
        request_t *request = coap_async_get_app_data(async);
        if (!request || !request->durable) return;
        fill(response, request);
        coap_async_set_app_data(async, NULL);
        free(request);
        return;
    }
    size_t count = 0;
    const uint8_t *body = NULL;
    coap_get_data(question, &count, &body);
    request_t *request = calloc(1, sizeof *request);
    if (!request) abort();
    int waits;
    request->status =
        provision(body ? (const char *)body : "", count, request->answer, &request->answer_count, &waits);
    if (!waits) {
        fill(response, request);
        free(request);
        return;
    }
    if (piggybacked) {
        wait_for_acknowledgement(request, session, question, response);
    } else {
        request->async = coap_register_async(session, question, 0);
        if (!request->async) abort();
        coap_async_set_app_data(request->async, request);
    }
    log_wait(request);
}

static void answer(request_t *request) {
    if (!piggybacked) {
        request->durable = 1;
        coap_async_trigger(request->async);
        return;
    }
    coap_pdu_t *pdu = coap_pdu_init(COAP_MESSAGE_ACK, 0, request->mid, 512);
    if (!pdu) abort();
    coap_add_token(pdu, request->token_count, request->token);
    fill(pdu, request);
    coap_send(request->session, pdu);
    coap_session_release(request->session);
    free(request);
}

static void watch(int epoll, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) abort();
}

static coap_context_t *serve(uint16_t port) {
    coap_startup();
    coap_set_log_level(LOG_EMERG);
    coap_context_t *context = coap_new_context(NULL);
    coap_address_t address;
    coap_address_init(&address);
    address.size = sizeof address.addr.sin;
    address.addr.sin.sin_family = AF_INET;
    address.addr.sin.sin_port = htons(port);
    address.addr.sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (!context || !coap_new_endpoint(context, &address, COAP_PROTO_UDP)) return NULL;
    coap_resource_t *resource = coap_resource_init(coap_make_str_const("api/v1/provision"), 0);
    coap_register_handler(resource, COAP_REQUEST_POST, on_post);
    coap_add_resource(context, resource);
    return context;
}

int main(int argc, char **argv) {
    if (argc != 4 || (strcmp(argv[3], "ack") && strcmp(argv[3], "async"))) {
        fprintf(stderr, "usage: coapref PORT LOG ack|async\n");
        return 64;
    }
    piggybacked = !strcmp(argv[3], "ack");
    log_open(argv[2]);
    coap_context_t *context = serve((uint16_t)atoi(argv[1]));
    if (!context) {
        fprintf(stderr, "coapref: cannot listen on 127.0.0.1:%s\n", argv[1]);
        return 1;
    }
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    watch(epoll, coap_context_get_coap_fd(context));
    watch(epoll, log_state.event);
    for (;;) {
        struct epoll_event events[4];
        int count = epoll_wait(epoll, events, 4, 1000), is_coap = 0;
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == log_state.event) {
                log_group_done();
                for (request_t *request; (request = log_next_released());) answer(request);
                is_coap |= !piggybacked;
            } else {
                is_coap = 1;
            }
        }
        if (is_coap) coap_io_process(context, COAP_IO_NO_WAIT);
        log_kick();
    }
}
