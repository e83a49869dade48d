/* httpref: the C reference that the daemon's HTTP face is measured against.
 * libmicrohttpd driven by an external epoll loop, suspend and resume, group commit on a second thread.
 *
 * usage: httpref PORT LOG      listens on 127.0.0.1:PORT, truncates LOG
 * build: cc -O2 -o httpref httpref.c -lmicrohttpd -ljansson -lpthread
 */
#define _GNU_SOURCE
#include "refcore.h"
#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/epoll.h>

enum { BODY_LIMIT = 65536 };

/* One request: it lives from the first header byte until libmicrohttpd reports its completion. */
typedef struct {
    struct MHD_Connection *connection;
    buffer_t body;
    int answered, status;
    char answer[256];
    size_t answer_count;
} request_t;

/* libmicrohttpd calls it once for the header, once for each piece of the body, once at the body's end,
 * and once more after a suspended connection was resumed. */
static enum MHD_Result on_request(
    void *context, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
    const char *upload, size_t *upload_count, void **state) {
    (void)context;
    (void)version;
    request_t *request = *state;
    if (!request) {
        request = calloc(1, sizeof *request);
        if (!request) return MHD_NO;
        request->connection = connection;
        *state = request;
        return MHD_YES;
    }
    if (*upload_count) {
        if (request->body.count + *upload_count > BODY_LIMIT) return MHD_NO;
        buffer_append(&request->body, upload, *upload_count);
        *upload_count = 0;
        return MHD_YES;
    }
    if (!request->answered) {
        request->answered = 1;
        int waits = 0;
        if (strcmp(method, "POST") || strcmp(url, "/api/v1/provision")) {
            request->status = 404;
            request->answer_count = (size_t)sprintf(request->answer, "{}");
        } else {
            request->status =
                provision(request->body.bytes, request->body.count, request->answer, &request->answer_count, &waits);
        }
        if (waits) {
            log_wait(request);
            MHD_suspend_connection(connection);
            return MHD_YES;
        }
    }
    struct MHD_Response *response =
        MHD_create_response_from_buffer(request->answer_count, request->answer, MHD_RESPMEM_PERSISTENT);
    MHD_add_response_header(response, "Content-Type", "application/json");
    enum MHD_Result result = MHD_queue_response(connection, (unsigned)request->status, response);
    MHD_destroy_response(response);
    return result;
}

static void on_completed(
    void *context, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode code) {
    (void)context;
    (void)connection;
    (void)code;
    request_t *request = *state;
    if (!request) return;
    free(request->body.bytes);
    free(request);
    *state = NULL;
}

static void watch(int epoll, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) abort();
}

/* How long the loop may wait: what libmicrohttpd asks for, and never longer than a second. */
static int wait_milliseconds(struct MHD_Daemon *daemon) {
    MHD_UNSIGNED_LONG_LONG timeout;
    if (MHD_get_timeout(daemon, &timeout) != MHD_YES || timeout > 1000) return 1000;
    return (int)timeout;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: httpref PORT LOG\n");
        return 64;
    }
    signal(SIGPIPE, SIG_IGN);
    log_open(argv[2]);
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)atoi(argv[1])),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, NULL, MHD_OPTION_SOCK_ADDR, &address,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_CONNECTION_LIMIT, 1024u,
        MHD_OPTION_CONNECTION_TIMEOUT, 10u, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)16384, MHD_OPTION_END);
    if (!daemon) {
        fprintf(stderr, "httpref: cannot listen on 127.0.0.1:%s\n", argv[1]);
        return 1;
    }
    int server = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    watch(epoll, server);
    watch(epoll, log_state.event);
    for (;;) {
        struct epoll_event events[4];
        int count = epoll_wait(epoll, events, 4, wait_milliseconds(daemon));
        for (int i = 0; i < count; i++)
            if (events[i].data.fd == log_state.event) log_group_done();
        for (request_t *request; (request = log_next_released());) MHD_resume_connection(request->connection);
        MHD_run(daemon);
        log_kick();
    }
}
