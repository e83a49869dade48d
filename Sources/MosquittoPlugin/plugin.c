/* nearhub_mosquitto.so, a plugin for Mosquitto 2.0 (plugin interface 5): what the broker calls to load and unload it.
 *
 *   plugin /usr/lib/nearhub/nearhub_mosquitto.so
 *   plugin_opt_hub_user nearhub        username of the hub
 *   plugin_opt_hub_id nearhub          client id of the hub
 *   plugin_opt_device_user provision   username of devices that want to be provisioned
 *   plugin_opt_others defer            who decides about all other topics: the broker's acl_file, or 'allow'
 *
 * The values shown are the defaults. What the plugin does stands in hooks.c. */
#include "hooks.h"
#include "requesters.h"

#include <stddef.h>
#include <string.h>

#include <mosquitto.h>
#include <mosquitto_broker.h>
#include <mosquitto_plugin.h>

#define EXPORTED __attribute__((visibility("default")))

EXPORTED int mosquitto_plugin_version(int count, const int *versions);
EXPORTED int mosquitto_plugin_init(mosquitto_plugin_id_t *identifier, void **user, struct mosquitto_opt *options,
    int count);
EXPORTED int mosquitto_plugin_cleanup(void *user, struct mosquitto_opt *options, int count);

static const struct {
    int event;
    MOSQ_FUNC_generic_callback hook;
} hooks[] = {
    {MOSQ_EVT_BASIC_AUTH, on_basic_auth},
    {MOSQ_EVT_ACL_CHECK, on_acl_check},
    {MOSQ_EVT_MESSAGE, on_message},
    {MOSQ_EVT_DISCONNECT, on_disconnect},
    {MOSQ_EVT_TICK, on_tick},
};
static const size_t hook_count = sizeof hooks / sizeof hooks[0];

static mosquitto_plugin_id_t *plugin;

/* Replaces a setting by a copy of `value`: the options belong to the broker. */
static int set(char **setting, const char *value)
{
    char *copy = mosquitto_strdup(value);

    if (!copy)
        return MOSQ_ERR_NOMEM;
    mosquitto_free(*setting);
    *setting = copy;
    return MOSQ_ERR_SUCCESS;
}

static int set_others(const char *value)
{
    if (strcmp(value, "allow") == 0)
        settings.others = MOSQ_ERR_SUCCESS;
    else if (strcmp(value, "defer") == 0)
        settings.others = MOSQ_ERR_PLUGIN_DEFER;
    else
        return MOSQ_ERR_INVAL;
    return MOSQ_ERR_SUCCESS;
}

static int set_option(const char *key, const char *value)
{
    if (!value || !*value)
        return MOSQ_ERR_INVAL;
    if (strcmp(key, "hub_user") == 0)
        return set(&settings.hub_user, value);
    if (strcmp(key, "hub_id") == 0)
        return set(&settings.hub_id, value);
    if (strcmp(key, "device_user") == 0)
        return set(&settings.device_user, value);
    if (strcmp(key, "others") == 0)
        return set_others(value);
    return MOSQ_ERR_INVAL;
}

static int configure(const struct mosquitto_opt *options, int count)
{
    int rc = set_others("defer");

    if (!rc)
        rc = set(&settings.hub_user, "nearhub");
    if (!rc)
        rc = set(&settings.hub_id, "nearhub");
    if (!rc)
        rc = set(&settings.device_user, "provision");
    for (int i = 0; i < count && !rc; i++) {
        rc = set_option(options[i].key, options[i].value);
        if (rc == MOSQ_ERR_INVAL)
            mosquitto_log_printf(MOSQ_LOG_ERR,
                "nearhub: plugin_opt_%s is unknown or its value is bad; there are hub_user, hub_id, device_user, "
                "and others (allow or defer)", options[i].key);
    }
    if (!rc && strcmp(settings.hub_user, settings.device_user) == 0) {
        mosquitto_log_printf(MOSQ_LOG_ERR, "nearhub: plugin_opt_hub_user and plugin_opt_device_user must differ");
        rc = MOSQ_ERR_INVAL;
    }
    return rc;
}

static void release(void)
{
    requesters_free();
    mosquitto_free(settings.hub_user);
    mosquitto_free(settings.hub_id);
    mosquitto_free(settings.device_user);
    settings = (struct settings){0};
}

/* Chooses the plugin interface; the broker offers the ones it has. */
int mosquitto_plugin_version(int count, const int *versions)
{
    for (int i = 0; i < count; i++)
        if (versions[i] == 5)
            return 5;
    return -1;
}

/* A plugin that cannot do all it promises ends the broker's start: it must not run without. */
int mosquitto_plugin_init(mosquitto_plugin_id_t *identifier, void **user, struct mosquitto_opt *options, int count)
{
    int rc = configure(options, count);

    (void)user;
    plugin = identifier;
    if (!rc && !requesters_init())
        rc = MOSQ_ERR_UNKNOWN;
    for (size_t i = 0; i < hook_count && !rc; i++)
        rc = mosquitto_callback_register(plugin, hooks[i].event, hooks[i].hook, NULL, NULL);
    if (rc) {
        mosquitto_plugin_cleanup(NULL, NULL, 0);
        return rc;
    }
    mosquitto_log_printf(MOSQ_LOG_NOTICE, "nearhub: answers to '%s' are private; the hub is user '%s', client id '%s'",
        settings.device_user, settings.hub_user, settings.hub_id);
    return MOSQ_ERR_SUCCESS;
}

int mosquitto_plugin_cleanup(void *user, struct mosquitto_opt *options, int count)
{
    (void)user, (void)options, (void)count;
    for (size_t i = 0; i < hook_count; i++)
        mosquitto_callback_unregister(plugin, hooks[i].event, hooks[i].hook, NULL);
    release();
    return MOSQ_ERR_SUCCESS;
}
