/* Makes ThingsBoard's shared provisioning topics private to each connection.
 *
 *   device  PUBLISH /provision/request             ->  the hub only:         /provision/request/<serial>
 *   hub     PUBLISH /provision/response/<serial>   ->  that connection only: /provision/response
 *
 * Both messages are handed to one client id and never travel through the topic tree. The originals go on emptied, so
 * no subscription, retained message, bridge or database file can hold a secret.
 *
 * A request is given its new topic by the ACL check already: a will is checked there and never comes to MESSAGE, and
 * the check cannot tell it from a PUBLISH. So one on the request's topic ends where nobody can see it.
 *
 * Traps in the ownership of the event's members (they differ between Mosquitto 2.0.11 and 2.0.15, both in use):
 *   topic        never assigned: the older brokers leak the old string, the newer ones free it. Only overwritten in
 *                place by something that is not longer. In ACL_CHECK it is const, but it is the message's own copy.
 *   properties   never assigned, for the same reason.
 *   payload      may be replaced: the broker frees the old one. It takes payloadlen over only if payload changed.
 *   client       is reused by the allocator once a connection is gone: what we know of a pointer ends at DISCONNECT,
 *                and at BASIC_AUTH for the connections that end without one (websockets). */
#include "hooks.h"
#include "requesters.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <mosquitto.h>
#include <mosquitto_broker.h>
#include <mosquitto_plugin.h>

#define REQUEST "/provision/request"
#define RESPONSE "/provision/response"
/* Where the emptied originals go: '#' does not match a topic that begins with '$', and nobody may subscribe to it. */
#define CONSUMED "$nearhub/consumed"

_Static_assert(sizeof CONSUMED <= sizeof REQUEST, "it is written over REQUEST in place");
_Static_assert(sizeof CONSUMED <= sizeof RESPONSE, "it is written over RESPONSE in place");

enum {
    SERIAL_DIGITS = 12, /* of SERIAL_MAXIMUM; one more, and deviceId would not fit into the answer */
    /* More than the hub accepts (65,536), so that the hub can still say what is wrong; and no more than fits, with its
     * topic, into the largest packet that the hub announces (66,560): the broker drops what is larger. */
    PAYLOAD_MAXIMUM = 66000,
};

struct settings settings;

/* Requests refused since the last log line because too many were open. */
static unsigned refused;

static time_t seconds(void)
{
    struct timespec t = {0};

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec;
}

static bool same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

static bool begins(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool is_hub(const struct mosquitto *client)
{
    return same(mosquitto_client_username(client), settings.hub_user);
}

static bool is_device(const struct mosquitto *client)
{
    return same(mosquitto_client_username(client), settings.device_user);
}

/* Hands a message to one client id. QoS 0: a message of QoS 1 to a session that is away or slow would be stored, and
 * written to the database file. A payload of NULL would reach memcpy in the broker. */
static int hand_over(const char *id, const char *topic, const struct mosquitto_evt_message *message)
{
    const void *payload = message->payloadlen ? message->payload : "";

    return mosquitto_broker_publish_copy(id, topic, (int)message->payloadlen, payload, 0, false, NULL);
}

/* Sends a message where nobody can see it. `topic` is REQUEST or begins with RESPONSE. */
static void hide(char *topic)
{
    memcpy(topic, CONSUMED, sizeof CONSUMED);
}

/* Empties the original, which the broker goes on to route. */
static void consume(struct mosquitto_evt_message *message)
{
    message->payload = NULL;
    message->payloadlen = 0;
    message->retain = false;
}

/* The serial at the end of a response's topic: 12 lower-case hexadecimal digits and nothing else. */
static bool parse_serial(const char *text, uint64_t *serial)
{
    if (strlen(text) != SERIAL_DIGITS || strspn(text, "0123456789abcdef") != SERIAL_DIGITS)
        return false;
    return sscanf(text, "%" SCNx64, serial) == 1;
}

static int on_request(struct mosquitto_evt_message *message)
{
    char topic[sizeof REQUEST "/" + SERIAL_DIGITS];
    struct requester *requester;
    int rc;

    /* All errors but ACL_DENIED close the connection, so that the device does not wait for an answer. */
    if (message->payloadlen > PAYLOAD_MAXIMUM)
        return MOSQ_ERR_PAYLOAD_SIZE;
    requester = requester_asked(message->client, seconds());
    if (!requester) {
        refused++;
        return MOSQ_ERR_ADMINISTRATIVE_ACTION;
    }
    snprintf(topic, sizeof topic, REQUEST "/%0*" PRIx64, (int)SERIAL_DIGITS, requester->serial);
    rc = hand_over(settings.hub_id, topic, message);
    consume(message);
    return rc;
}

static int on_response(struct mosquitto_evt_message *message)
{
    struct requester *requester = NULL;
    uint64_t serial;

    if (parse_serial(message->topic + strlen(RESPONSE "/"), &serial))
        requester = requester_with_serial(serial);
    /* A hand-over that fails leaves the request open, and on_tick ends it. */
    if (requester && hand_over(requester->id, RESPONSE, message) == MOSQ_ERR_SUCCESS)
        requester_answered(requester, seconds());
    hide(message->topic);
    consume(message);
    return MOSQ_ERR_SUCCESS;
}

/* MESSAGE: a PUBLISH passed the ACL check and is about to be stored and routed. Wills never come here. */
int on_message(int event, void *data, void *user)
{
    struct mosquitto_evt_message *message = data;

    (void)event, (void)user;
    if (same(message->topic, CONSUMED) && is_device(message->client))
        return on_request(message); /* may_write hid it */
    /* A bridge passes every ACL check, but is no device: its answer would go out on the remote's shared topic. */
    if (same(message->topic, REQUEST))
        return MOSQ_ERR_ACL_DENIED;
    if (begins(message->topic, RESPONSE "/") && is_hub(message->client))
        return on_response(message);
    return MOSQ_ERR_SUCCESS;
}

static bool may_write(const struct mosquitto_evt_acl_check *check)
{
    if (is_hub(check->client))
        return begins(check->topic, RESPONSE "/");
    /* A retained will would stay in the tree: retain is refused, ThingsBoard ignores it. */
    if (!is_device(check->client) || !same(check->topic, REQUEST) || check->retain)
        return false;
    hide((char *)check->topic); /* on_message knows it by that, and a will goes no further */
    return true;
}

static bool may_subscribe(const struct mosquitto_evt_acl_check *check)
{
    if (!is_hub(check->client))
        return same(check->topic, RESPONSE);
    if (check->access == MOSQ_ACL_SUBSCRIBE && !same(mosquitto_client_id(check->client), settings.hub_id))
        mosquitto_log_printf(MOSQ_LOG_WARNING,
            "nearhub: the hub's client id is not '%s' (plugin_opt_hub_id), so it gets no requests", settings.hub_id);
    return true;
}

/* ACL_CHECK: the provisioning topics are ours, all others are left to plugin_opt_others. Reading is refused to all,
 * the hub too: what is delivered from the tree on these topics did not pass on_message. What we hand to a client id is
 * not checked. A device that is being provisioned has nothing else to do here, so it gets no other topic. */
int on_acl_check(int event, void *data, void *user)
{
    const struct mosquitto_evt_acl_check *check = data;
    bool ours = begins(check->topic, "/provision/") || begins(check->topic, "$nearhub/");
    bool allowed = false;

    (void)event, (void)user;
    if (!ours && !is_device(check->client))
        return settings.others;
    if (check->access == MOSQ_ACL_WRITE)
        allowed = may_write(check);
    else if (check->access == MOSQ_ACL_SUBSCRIBE || check->access == MOSQ_ACL_UNSUBSCRIBE)
        allowed = may_subscribe(check);
    return allowed ? MOSQ_ERR_SUCCESS : MOSQ_ERR_ACL_DENIED;
}

/* BASIC_AUTH: runs before the password_file. Devices need no password, as with ThingsBoard; the hub's client id belongs
 * to the hub's user; a client id with an open request belongs to the connection that sent it. Everybody else, and the
 * hub's password, is left to the broker. */
int on_basic_auth(int event, void *data, void *user)
{
    const struct mosquitto_evt_basic_auth *login = data;
    const char *id = mosquitto_client_id(login->client);
    struct requester *stale = requester_with_client(login->client);

    (void)event, (void)user;
    if (stale)
        requester_gone(stale);
    if (same(id, settings.hub_id) && !same(login->username, settings.hub_user))
        return MOSQ_ERR_AUTH;
    if (id && requester_locking(id, seconds()))
        return MOSQ_ERR_AUTH;
    if (same(login->username, settings.device_user))
        return MOSQ_ERR_SUCCESS;
    /* ThingsBoard also takes the client id "provision" for the username. */
    if (same(id, settings.device_user) && !login->username)
        return mosquitto_set_username(login->client, settings.device_user);
    return MOSQ_ERR_PLUGIN_DEFER;
}

/* DISCONNECT: also when a client id is taken over. */
int on_disconnect(int event, void *data, void *user)
{
    const struct mosquitto_evt_disconnect *gone = data;
    struct requester *requester = requester_with_client(gone->client);

    (void)event, (void)user;
    if (requester)
        requester_gone(requester);
    return MOSQ_ERR_SUCCESS;
}

/* TICK: once in each main loop. A request without an answer ends as it does with ThingsBoard: after 10 seconds the
 * connection is closed without one, and the device asks again on its next. So a hub that is away, or restarts between
 * request and answer, leaves no device waiting for ever. */
int on_tick(int event, void *data, void *user)
{
    static time_t last;
    time_t now = seconds();
    unsigned closed = 0;

    (void)event, (void)data, (void)user;
    requesters_tick();
    if (now == last)
        return MOSQ_ERR_SUCCESS;
    last = now;
    for (struct requester *r = NULL; (r = requester_expired(r, now));) {
        if (r->client && r->pending > 0 && mosquitto_kick_client_by_clientid(r->id, true) == MOSQ_ERR_SUCCESS)
            closed++;
        requester_forget(r);
    }
    if (closed > 0)
        mosquitto_log_printf(MOSQ_LOG_WARNING,
            "nearhub: the hub did not answer within %d seconds; connections closed: %u", (int)REQUEST_SECONDS, closed);
    if (refused > 0)
        mosquitto_log_printf(MOSQ_LOG_WARNING,
            "nearhub: too many connections with open requests (%d in all, %d of one address); refused: %u",
            (int)REQUESTERS_MAXIMUM, (int)ADDRESS_SHARE, refused);
    refused = 0;
    return MOSQ_ERR_SUCCESS;
}
