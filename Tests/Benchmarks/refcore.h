/* refcore.h: what the C reference does for one provisioning request.
 *
 * Parse the body (jansson), check it, look the name up by its hash, make a random id and token, and stage
 * one JSON line of about 460 bytes that ends with its own XXH3 checksum. It is the same work as the
 * daemon's, without its rules, limits and repeat handling: the least that the job can cost.
 */
#pragma once
#include "groupcommit.h"
#include <jansson.h>
#include <sys/random.h>
#include <time.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

static const char NAME_CHARACTERS[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
static const char TOKEN_CHARACTERS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* The names that are taken: an open-addressed table of hashes, 0 = free. */
static struct {
    uint64_t *slots;
    size_t capacity, count;
} names;

static size_t names_slot(const uint64_t *slots, size_t capacity, uint64_t hash) {
    size_t i = hash & (capacity - 1);
    while (slots[i] && slots[i] != hash) i = (i + 1) & (capacity - 1);
    return i;
}

/* 1: added, 0: already there. */
static int names_add(uint64_t hash) {
    if (!hash) hash = 1;
    if (names.count * 2 >= names.capacity) {
        size_t capacity = names.capacity ? names.capacity * 2 : 4096;
        uint64_t *slots = calloc(capacity, sizeof *slots);
        if (!slots) abort();
        for (size_t i = 0; i < names.capacity; i++)
            if (names.slots[i]) slots[names_slot(slots, capacity, names.slots[i])] = names.slots[i];
        free(names.slots);
        names.slots = slots;
        names.capacity = capacity;
    }
    size_t i = names_slot(names.slots, names.capacity, hash);
    if (names.slots[i]) return 0;
    names.slots[i] = hash;
    names.count++;
    return 1;
}

/* Random bytes, fetched from the kernel 4 KiB at a time. */
static const unsigned char *random_bytes(size_t count) {
    static unsigned char pool[4096];
    static size_t left;
    if (left < count) {
        if (getrandom(pool, sizeof pool, 0) != sizeof pool) abort();
        left = sizeof pool;
    }
    left -= count;
    return pool + left;
}

/* The time as "2026-11-24T16:20:22.123Z"; the date is formatted once a second. */
static const char *timestamp(void) {
    static time_t formatted;
    static char text[32];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != formatted) {
        struct tm calendar;
        gmtime_r(&now.tv_sec, &calendar);
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S.000Z", &calendar);
        formatted = now.tv_sec;
    }
    unsigned milliseconds = (unsigned)(now.tv_nsec / 1000000);
    text[20] = (char)('0' + milliseconds / 100);
    text[21] = (char)('0' + milliseconds / 10 % 10);
    text[22] = (char)('0' + milliseconds % 10);
    return text;
}

static void make_id(char id[37], const unsigned char *random) {
    static const char hex[] = "0123456789abcdef";
    int k = 0;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) id[k++] = '-';
        id[k++] = hex[random[i] >> 4];
        id[k++] = hex[random[i] & 15];
    }
    id[k] = 0;
}

/* Stages the line of a new device. */
static void append_device(const char *name, const char *id, const char *token, const char *key) {
    static unsigned long long sequence;
    char line[1024];
    int n = snprintf(
        line, sizeof line - 32,
        "{\"seq\":%llu,\"at\":\"%s\",\"op\":\"put\",\"device\":{\"id\":\"%s\",\"name\":\"%s\",\"type\":\"default\","
        "\"profile\":\"3f1d2c4b-5a69-4788-96a5-b4c3d2e1f001\",\"credentials\":{\"type\":\"ACCESS_TOKEN\",\"token\":"
        "\"%s\"},\"provisioned\":{\"via\":\"http\",\"peer\":\"127.0.0.1\",\"key\":\"%.32s\"},\"attributes\":"
        "{\"provisionState\":\"provisioned\"},\"created\":\"2026-11-24T16:20:22.123Z\"}",
        ++sequence, timestamp(), id, name, token, key);
    unsigned long long checksum = XXH3_64bits(line, (size_t)n);
    n += sprintf(line + n, ",\"xxh3\":\"%016llx\"}\n", checksum);
    log_append(line, (size_t)n);
}

/* Answers a request body into `answer` (at least 256 bytes) and returns the HTTP status; sets *waits when
 * the answer must not leave before the log is durable. */
static int provision(const char *body, size_t count, char *answer, size_t *answer_count, int *waits) {
    *waits = 0;
    json_error_t error;
    json_t *json = json_loadb(body, count, JSON_REJECT_DUPLICATES, &error);
    const char *name = json_string_value(json_object_get(json, "deviceName"));
    const char *key = json_string_value(json_object_get(json, "provisionDeviceKey"));
    const char *secret = json_string_value(json_object_get(json, "provisionDeviceSecret"));
    size_t length = name ? strlen(name) : 0;
    int valid = name && key && secret && length && length < 128 && strspn(name, NAME_CHARACTERS) == length;
    if (!valid || !names_add(XXH3_64bits(name, length))) {
        json_decref(json);
        *answer_count = (size_t)sprintf(
            answer, "{\"status\":\"FAILURE\",\"errorMsg\":\"%s\"}", valid ? "the name is taken" : "malformed request");
        return valid ? 200 : 400;
    }
    char id[37], token[21];
    const unsigned char *random = random_bytes(36);
    make_id(id, random);
    for (int i = 0; i < 20; i++) token[i] = TOKEN_CHARACTERS[random[16 + i] & 63];
    token[20] = 0;
    append_device(name, id, token, key);
    json_decref(json);
    *answer_count = (size_t)sprintf(
        answer, "{\"status\":\"SUCCESS\",\"credentialsType\":\"ACCESS_TOKEN\",\"credentialsValue\":\"%s\"}", token);
    *waits = 1;
    return 200;
}
