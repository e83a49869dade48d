#include <coap3/coap.h>
#include <string.h>
#include <sys/epoll.h>
#include <syslog.h>

// An address for libcoap: a union of socket addresses of which Swift can take none by its size alone.
static inline int ccoap_address(coap_address_t *address, const struct sockaddr *socket_address, socklen_t size) {
    coap_address_init(address);
    if (size > sizeof address->addr) return 0;
    memcpy(&address->addr, socket_address, size);
    address->size = size;
    return 1;
}

// libcoap's messages carry what strangers send, on any level: what matters is told by the functions' results.
static void ccoap_drop_message(coap_log_t level, const char *message) {
    (void)level;
    (void)message;
}

static inline void ccoap_silence(void) {
    coap_set_log_level(LOG_EMERG);
    coap_set_log_handler(ccoap_drop_message);
}

// The remote end of a session as the fields of an IPv6 address, IPv4 as IPv4-mapped; its port, in the host's order.
static inline uint16_t ccoap_peer(const coap_session_t *session, void *address, uint32_t *scope) {
    const coap_address_t *remote = coap_session_get_addr_remote(session);
    if (remote->addr.sa.sa_family == AF_INET6) {
        memcpy(address, &remote->addr.sin6.sin6_addr, 16);
        *scope = remote->addr.sin6.sin6_scope_id;
        return ntohs(remote->addr.sin6.sin6_port);
    }
    const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    memcpy(address, mapped, 12);
    memcpy((uint8_t *)address + 12, &remote->addr.sin.sin_addr, 4);
    *scope = 0;
    return ntohs(remote->addr.sin.sin_port);
}

// One round of libcoap's own loop without waiting: one datagram of each socket, and what is due. Whether there was
// anything. coap_io_process does the same with twice the system calls, and does not say whether it found anything.
static inline int ccoap_run(coap_context_t *context) {
    struct epoll_event events[4];
    int count = epoll_wait(coap_context_get_coap_fd(context), events, 4, 0);
    if (count > 0) coap_io_do_epoll(context, events, (size_t)count);
    return count > 0;
}
