#include "requesters.h"

#include <stddef.h>
#include <string.h>
#include <sys/random.h>

#include <mosquitto_broker.h>

/* A fixed table, searched from end to end: about a microsecond, and no memory that requests could make grow. */
static struct requester table[REQUESTERS_MAXIMUM];
static struct requester *const table_end = table + REQUESTERS_MAXIMUM;
static uint64_t last_serial;

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
        if (r->client == client)
            return r;
    return NULL;
}

struct requester *requester_asked(struct mosquitto *client, time_t now)
{
    struct requester *r = requester_with_client(client);

    if (!r) {
        const char *id = mosquitto_client_id(client);
        char *copy = id ? mosquitto_strdup(id) : NULL;

        r = copy ? requester_with_client(NULL) : NULL;
        if (!r) {
            mosquitto_free(copy);
            return NULL;
        }
        *r = (struct requester){.client = client, .id = copy, .serial = ++last_serial};
    }
    r->pending++;
    r->until = now + REQUEST_SECONDS;
    return r;
}

void requester_answered(struct requester *requester, time_t now)
{
    if (requester->pending > 0)
        requester->pending--;
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
        if (r->client && r->until > now && strcmp(r->id, id) == 0)
            return r;
    return NULL;
}

struct requester *requester_expired(struct requester *previous, time_t now)
{
    for (struct requester *r = previous ? previous + 1 : table; r < table_end; r++)
        if (r->client && r->until <= now)
            return r;
    return NULL;
}

void requester_forget(struct requester *requester)
{
    mosquitto_free(requester->id);
    *requester = (struct requester){0};
}
