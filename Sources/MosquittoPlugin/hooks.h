/* What the plugin does when the broker calls; see hooks.c. */
#ifndef NEARHUB_HOOKS_H
#define NEARHUB_HOOKS_H

/* The plugin's options, set once before the first hook runs. The strings are our copies. */
struct settings {
    char *hub_user;    /* the hub's username; its password stands in the broker's password_file */
    char *hub_id;      /* the hub's client id: requests are handed to it */
    char *device_user; /* the username of devices that want to be provisioned */
    int others;        /* the answer to ACL checks of all other topics and users: SUCCESS or PLUGIN_DEFER */
};

extern struct settings settings;

int on_basic_auth(int event, void *data, void *user);
int on_acl_check(int event, void *data, void *user);
int on_message(int event, void *data, void *user);
int on_disconnect(int event, void *data, void *user);
int on_tick(int event, void *data, void *user);

#endif
