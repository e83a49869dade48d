#include "requesters.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include <mosquitto_broker.h>

/* A fixed table, searched from end to end: about a microsecond, and no memory that requests could make grow. */
static struct requester table[REQUESTERS_MAXIMUM];
static struct requester *const table_end = table + REQUESTERS_MAXIMUM;
static uint64_t last_serial;

enum { ADDRESS_SIZE = 46 }; /* an IPv6 address in text, and the end of the string */

/* The address of each requester, beside the table: only a further requester is compared with them. */
static char addresses[REQUESTERS_MAXIMUM][ADDRESS_SIZE];

/* Main loops counted, so that one in which an answer was handed over is never 0 and 0 is long ago. */
static uint64_t ticks = DELIVERED_TICKS;
/* Requesters that are gone, but kept. */
static unsigned kept;

bool requesters_init(void)
{
    return getrandom(&last_serial, sizeof last_serial, 0) == sizeof last_serial;
}

void requesters_free(void)
{
    for (struct requester *r = table; r < table_end; r++)
        requester_forget(r);
}

struct requester *requester_with_client(const struct mosquitto *client)
{
    for (struct requester *r = table; r < table_end; r++)
        if (r->client && r->client == client)
            return r;
    return NULL;
}

/* Whether an answer may still be on its way to whoever has the client id. */
static bool delivering(const struct requester *requester)
{
    return ticks - requester->answered_tick < DELIVERED_TICKS;
}

/* Whether an address has its share of the open requests. */
static bool has_its_share(const char *address)
{
    unsigned open = 0, own = 0;

    for (const struct requester *r = table; r < table_end; r++)
        if (r->client && r->pending > 0) {
            open++;
            own += strcmp(addresses[r - table], address) == 0;
        }
    return open >= REQUESTERS_MAXIMUM / 2 && own >= ADDRESS_SHARE;
}

/* A place for a further requester: a free one, else that of one who has all its answers. */
static struct requester *place(void)
{
    struct requester *done = NULL;

    for (struct requester *r = table; r < table_end; r++) {
        if (!r->id)
            return r;
        if (!done && r->pending == 0 && !delivering(r))
            done = r;
    }
    if (done)
        requester_forget(done);
    return done;
}

/* Notes a connection that asks for the first time. */
static struct requester *add(struct mosquitto *client)
{
    const char *id = mosquitto_client_id(client);
    const char *known = mosquitto_client_address(client);
    char address[ADDRESS_SIZE];
    struct requester *r;
    char *copy;

    snprintf(address, sizeof address, "%s", known ? known : ""); /* a Unix socket has none */
    if (!id || has_its_share(address))
        return NULL;
    copy = mosquitto_strdup(id);
    r = copy ? place() : NULL;
    if (!r) {
        mosquitto_free(copy);
        return NULL;
    }
    *r = (struct requester){.client = client, .id = copy, .serial = ++last_serial & SERIAL_MAXIMUM};
    memcpy(addresses[r - table], address, sizeof address);
    return r;
}

struct requester *requester_asked(struct mosquitto *client, time_t now)
{
    struct requester *r = requester_with_client(client);

    if (!r)
        r = add(client);
    if (!r)
        return NULL;
    r->pending++;
    r->until = now + REQUEST_SECONDS;
    return r;
}

void requester_answered(struct requester *requester, time_t now)
{
    if (requester->pending > 0)
        requester->pending--;
    requester->answered_tick = ticks;
    requester->until = now + (requester->pending > 0 ? REQUEST_SECONDS : ANSWERED_SECONDS);
}

struct requester *requester_with_serial(uint64_t serial)
{
    for (struct requester *r = table; r < table_end; r++)
        if (r->client && r->serial == serial)
            return r;
    return NULL;
}

struct requester *requester_locking(const char *id, time_t now)
{
    for (struct requester *r = table; r < table_end; r++)
        if (r->id && r->until > now && strcmp(r->id, id) == 0)
            return r;
    return NULL;
}

struct requester *requester_expired(struct requester *previous, time_t now)
{
    for (struct requester *r = previous ? previous + 1 : table; r < table_end; r++)
        if (r->id && r->until <= now && !delivering(r))
            return r;
    return NULL;
}

void requester_gone(struct requester *requester)
{
    if (!delivering(requester)) {
        requester_forget(requester);
        return;
    }
    requester->client = NULL;
    requester->pending = 0; /* their answers find nobody */
    kept++;
}

void requesters_tick(void)
{
    ticks++;
    if (kept == 0)
        return;
    for (struct requester *r = table; r < table_end; r++)
        if (r->id && !r->client && !delivering(r))
            requester_forget(r);
}

void requester_forget(struct requester *requester)
{
    if (requester->id && !requester->client)
        kept--;
    mosquitto_free(requester->id);
    *requester = (struct requester){0};
}
