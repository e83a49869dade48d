/* The connections that have sent a provisioning request and wait for its answer.
 *
 * A requester is a connection, not a client id: its serial is the only name the hub learns, so an answer to a
 * connection that is gone finds nobody. But the broker delivers by client id, in its next main loop: if the connection
 * ends between answer and delivery, its requester stays until then, so that nobody can take the client id over. */
#ifndef NEARHUB_REQUESTERS_H
#define NEARHUB_REQUESTERS_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct mosquitto;

enum {
    /* Connections with an open request at the same time. */
    REQUESTERS_MAXIMUM = 1024,
    /* Of these, what one address may have as soon as half of all are taken. */
    ADDRESS_SHARE = REQUESTERS_MAXIMUM / 4,
    /* How long the hub may take. ThingsBoard waits as long for its core, and closes the connection then. */
    REQUEST_SECONDS = 10,
    /* How long a client id stays locked after its answer, while its connection lasts and places are left. */
    ANSWERED_SECONDS = 2,
    /* Main loops after which an answer is delivered. */
    DELIVERED_TICKS = 2,
};

/* Serials have 48 bits: the topic they stand in takes room from the answer, which some devices limit to 256 bytes. */
#define SERIAL_MAXIMUM UINT64_C(0xffffffffffff)

struct requester {
    struct mosquitto *client; /* the broker's; only compared, never dereferenced. NULL: gone, or the place is free */
    char *id;                 /* our copy of its client id. NULL: this place is free */
    uint64_t serial;          /* names the connection on the topics between plugin and hub */
    unsigned pending;         /* requests not yet answered */
    uint64_t answered_tick;   /* the main loop in which the last answer was handed to the broker; 0: none was */
    time_t until;             /* nobody may take the client id over before, and the hub must have answered */
};

/* Chooses the first serial at random, so that an answer from before a restart of the broker meets nobody. */
bool requesters_init(void);
void requesters_free(void);

/* Notes a request of `client`. NULL if the table is full, the share of its address, or memory. */
struct requester *requester_asked(struct mosquitto *client, time_t now);
/* Notes that a request of `requester` was answered. */
void requester_answered(struct requester *requester, time_t now);

struct requester *requester_with_serial(uint64_t serial);
struct requester *requester_with_client(const struct mosquitto *client);
/* The one whose client id nobody may take over now. */
struct requester *requester_locking(const char *id, time_t now);
/* The next one after `previous` (NULL: the first) whose time is over. */
struct requester *requester_expired(struct requester *previous, time_t now);

/* Notes that the connection is gone. */
void requester_gone(struct requester *requester);
/* Notes the end of a main loop, and forgets those that are gone and whose answers are delivered. */
void requesters_tick(void);

void requester_forget(struct requester *requester);

#endif
