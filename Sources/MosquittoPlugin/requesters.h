/* The connections that have sent a provisioning request and wait for its answer.
 *
 * A requester is a connection, not a client id: its serial is the only name the hub learns, so an answer to a
 * connection that is gone finds nobody, and whoever takes the client id over gets nothing. */
#ifndef NEARHUB_REQUESTERS_H
#define NEARHUB_REQUESTERS_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct mosquitto;

enum {
    /* Connections with an open request at the same time. */
    REQUESTERS_MAXIMUM = 1024,
    /* How long the hub may take. ThingsBoard waits as long for its core, and closes the connection then. */
    REQUEST_SECONDS = 10,
    /* How long a client id stays locked after its answer: the broker delivers by client id, one main loop later. */
    ANSWERED_SECONDS = 2,
};

struct requester {
    struct mosquitto *client; /* the broker's; only compared, never dereferenced. NULL: this place is free */
    char *id;                 /* our copy of its client id */
    uint64_t serial;          /* names the connection on the topics between plugin and hub */
    unsigned pending;         /* requests not yet answered */
    time_t until;             /* nobody may take the client id over before, and the hub must have answered */
};

/* Chooses the first serial at random, so that an answer from before a restart of the broker meets nobody. */
bool requesters_init(void);
void requesters_free(void);

/* Notes a request of `client`. NULL if the table is full, or memory is. */
struct requester *requester_asked(struct mosquitto *client, time_t now);
/* Notes that a request of `requester` was answered. */
void requester_answered(struct requester *requester, time_t now);

struct requester *requester_with_serial(uint64_t serial);
struct requester *requester_with_client(const struct mosquitto *client);
/* The one whose client id nobody may take over now. */
struct requester *requester_locking(const char *id, time_t now);
/* The next one after `previous` (NULL: the first) whose time is over. */
struct requester *requester_expired(struct requester *previous, time_t now);

void requester_forget(struct requester *requester);

#endif
