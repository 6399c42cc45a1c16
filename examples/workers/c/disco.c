#include "disco.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fetch.h"
#include "json.h"

#define MAX_REPLY (100L * 1024 * 1024)

static void write_all(int fd, const char *data, size_t size)
{
    while (size) {
        ssize_t written = write(fd, data, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            _exit(1); /* the master is gone */
        data += written;
        size -= (size_t)written;
    }
}

static void send_message(const char *name, const struct bytes *payload)
{
    struct bytes frame = {0};
    bytes_print(&frame, "%s %zu ", name, payload->size);
    bytes_add(&frame, payload->data, payload->size);
    bytes_add(&frame, "\n", 1);
    write_all(2, frame.data, frame.size);
    bytes_free(&frame);
}

/* Adds a text as a JSON string. */
static void add_string(struct bytes *out, const char *text, size_t size)
{
    bytes_add(out, "\"", 1);
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            bytes_print(out, "\\%c", c);
        else if (c < ' ' || c == 0x7F)
            bytes_print(out, "\\u%04x", c);
        else
            bytes_add(out, &c, 1);
    }
    bytes_add(out, "\"", 1);
}

static void send_text(const char *name, const char *text, size_t size)
{
    struct bytes payload = {0};
    add_string(&payload, text, size);
    send_message(name, &payload);
    bytes_free(&payload);
}

/* No reply follows: the master kills the worker. If it should not, there is nothing left to do either. */
static noreturn void end(const char *name, const char *format, va_list arguments)
{
    struct bytes text = {0};
    bytes_vprint(&text, format, arguments);
    send_text(name, text.data, text.size);
    exit(1);
}

void disco_error(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    end("ERROR", format, arguments);
}

void disco_fatal(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    end("FATAL", format, arguments);
}

void disco_out_of_memory(void)
{
    static const char frame[] = "ERROR 15 \"out of memory\"\n";
    write_all(2, frame, sizeof frame - 1);
    _exit(1);
}

void disco_done(void)
{
    send_text("DONE", "", 0);
    exit(0);
}

static void read_all(char *data, size_t size)
{
    while (size) {
        ssize_t got = read(0, data, size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            _exit(1); /* the master is gone */
        data += got;
        size -= (size_t)got;
    }
}

/* Reads a name or a length of a reply up to its blank. */
static void read_field(char field[11])
{
    for (int length = 0; length < 11; length++) {
        read_all(field + length, 1);
        if (field[length] == ' ') {
            field[length] = '\0';
            return;
        }
    }
    disco_fatal("the master's reply is no frame: no blank after %.10s", field);
}

/* Reads one reply; `name` gets its name. The caller frees the payload. */
static struct json *read_reply(char name[11])
{
    char digits[11];
    read_field(name);
    read_field(digits);
    char *rest;
    long size = strtol(digits, &rest, 10);
    if (!*digits || *rest || size < 0 || size > MAX_REPLY)
        disco_fatal("the master's reply %s has no proper length: %s", name, digits);
    char *body = get_memory((size_t)size + 1);
    read_all(body, (size_t)size + 1);
    struct json *payload = body[size] == '\n' ? json_parse(body, (size_t)size) : NULL;
    free(body);
    if (!payload)
        disco_fatal("the master's reply %s is not JSON with a newline behind it", name);
    return payload;
}

static struct json *expect(const char *wanted)
{
    char name[11];
    struct json *payload = read_reply(name);
    if (strcmp(name, wanted) != 0)
        disco_fatal("the master replied %s where %s was expected", name, wanted);
    return payload;
}

static const char *text_of(const struct json *task, const char *key)
{
    const struct json *value = json_get(task, key);
    if (!json_is(value, JSON_STRING) || strlen(value->text) != value->length)
        disco_fatal("the master's TASK has no text %s", key);
    return value->text;
}

static long long number_of(const struct json *task, const char *key)
{
    const struct json *value = json_get(task, key);
    if (!json_is(value, JSON_NUMBER))
        disco_fatal("the master's TASK has no number %s", key);
    return value->number;
}

void disco_start(struct disco_task *task)
{
    struct bytes hello = {0};
    bytes_print(&hello, "{\"version\":\"1.1\",\"pid\":%ld}", (long)getpid());
    send_message("WORKER", &hello);
    bytes_free(&hello);
    json_free(expect("OK"));
    send_text("TASK", "", 0);
    const struct json *reply = expect("TASK"); /* kept: the task's texts are its own */
    task->id = number_of(reply, "taskid");
    task->stage = text_of(reply, "stage");
    const struct json *label = json_at(json_get(reply, "group"), 0);
    if (!json_is(label, JSON_NUMBER))
        disco_fatal("the master's TASK has no group");
    task->label = label->number;
    task->jobfile = text_of(reply, "jobfile");
    task->disco_data = text_of(reply, "disco_data");
    task->disco_port = number_of(reply, "disco_port");
}

struct bytes disco_jobdata(const struct disco_task *task)
{
    struct bytes pack = {0};
    const char *why = fetch_file(task->jobfile, &pack);
    if (why)
        disco_error("the job pack %s cannot be read: %s", task->jobfile, why);
    /* Five big-endian words: magic and version, then where job dict, environment, home and data begin. */
    const unsigned char *head = (const unsigned char *)pack.data;
    if (pack.size < 128 || head[0] != 0xD5 || head[1] != 0xC0)
        disco_fatal("%s is no job pack", task->jobfile);
    size_t start = (size_t)head[16] << 24 | (size_t)head[17] << 16 | (size_t)head[18] << 8 | head[19];
    if (start > pack.size)
        disco_fatal("%s is cut off", task->jobfile);
    struct bytes data = {0};
    bytes_add(&data, pack.data + start, pack.size - start);
    bytes_free(&pack);
    return data;
}

/* Tells the master which replicas of an input could not be read; the reply is those still worth trying, NULL for
 * none. The caller frees it. */
static struct json *input_err(long long id, const struct bytes *failed)
{
    struct bytes payload = {0};
    char name[11];
    bytes_print(&payload, "[%lld,[%.*s]]", id, (int)failed->size, failed->data);
    send_message("INPUT_ERR", &payload);
    bytes_free(&payload);
    struct json *reply = read_reply(name);
    if (strcmp(name, "RETRY") == 0 && json_is(reply, JSON_ARRAY) && reply->length)
        return reply;
    if (strcmp(name, "RETRY") != 0 && strcmp(name, "FAIL") != 0)
        disco_fatal("the master replied %s to INPUT_ERR", name);
    json_free(reply);
    return NULL;
}

/* Reads the files of an input under the first of its urls that works. `row` is [id, status, label, replicas]. */
static struct files read_input(const struct disco_task *task, const struct json *row, long long id)
{
    const struct json *label = json_at(row, 2), *replicas = json_at(row, 3);
    bool all = json_is(label, JSON_STRING) && strcmp(label->text, "all") == 0;
    if (!json_is(json_at(row, 1), JSON_STRING) || !json_is(replicas, JSON_ARRAY) || (!all && !json_is(label, JSON_NUMBER)))
        disco_fatal("the master's INPUT has a row of another form");
    struct json *retry = NULL;
    struct bytes failed = {0}, reasons = {0};
    for (size_t tried = 0;; tried++) {
        const struct json *replica = json_at(replicas, 0);
        if (!replica || tried > 1000)
            disco_error("input %lld cannot be read%.*s", id, (int)reasons.size, reasons.data ? reasons.data : "");
        const struct json *rid = json_at(replica, 0), *url = json_at(replica, 1);
        if (!json_is(rid, JSON_NUMBER) || !json_is(url, JSON_STRING))
            disco_fatal("the master's INPUT has a replica of another form");
        struct files files = {0};
        const char *why = fetch_url(url->text, url->length, all ? NULL : &label->number, task, &files);
        if (!why) {
            json_free(retry);
            bytes_free(&failed);
            bytes_free(&reasons);
            return files;
        }
        bytes_print(&failed, "%s%lld", failed.size ? "," : "", rid->number);
        bytes_print(&reasons, "%s%s (%s)", reasons.size ? ", " : ": ", url->text, why);
        json_free(retry);
        replicas = retry = input_err(id, &failed);
    }
}

void disco_inputs(const struct disco_task *task, void (*take)(void *, const struct bytes *), void *context)
{
    struct bytes seen = {0}; /* the ids of the inputs we have had */
    bool more = true;
    while (more) {
        struct bytes payload = {0};
        bytes_print(&payload, "[\"exclude\",[%.*s]]", (int)seen.size, seen.data ? seen.data : "");
        send_message("INPUT", &payload);
        bytes_free(&payload);
        struct json *reply = expect("INPUT");
        const struct json *state = json_at(reply, 0), *rows = json_at(reply, 1);
        if (!json_is(state, JSON_STRING) || !json_is(rows, JSON_ARRAY))
            disco_fatal("the master's INPUT has another form");
        more = strcmp(state->text, "more") == 0;
        if (!more && strcmp(state->text, "done") != 0)
            disco_fatal("the master's INPUT is neither done nor more");
        for (const struct json *row = rows->first; row; row = row->next) {
            const struct json *id = json_at(row, 0);
            if (!json_is(id, JSON_NUMBER))
                disco_fatal("the master's INPUT has a row without a number");
            struct files files = read_input(task, row, id->number);
            for (size_t i = 0; i < files.count; i++)
                take(context, &files.list[i]);
            files_free(&files);
            bytes_print(&seen, "%s%lld", seen.size ? "," : "", id->number);
        }
        json_free(reply);
    }
    bytes_free(&seen);
}

void disco_output(long long label, const char *path, const struct bytes *data)
{
    struct bytes temporary = {0}, payload = {0};
    bytes_print(&temporary, "%s.%ld.partial%c", path, (long)getpid(), '\0');
    int fd = open(temporary.data, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    size_t done = 0;
    while (fd >= 0 && done < data->size) {
        ssize_t written = write(fd, data->data + done, data->size - done);
        if (written > 0)
            done += (size_t)written;
        else if (errno != EINTR)
            break;
    }
    bool written = fd >= 0 && done == data->size;
    if ((fd >= 0 && close(fd) != 0) || !written || rename(temporary.data, path) != 0) {
        int error = errno;
        unlink(temporary.data);
        disco_error("the output %s cannot be written: %s", path, strerror(error));
    }
    bytes_print(&payload, "[%lld,", label);
    add_string(&payload, path, strlen(path));
    bytes_print(&payload, ",%zu]", data->size);
    send_message("OUTPUT", &payload);
    json_free(expect("OK"));
    bytes_free(&temporary);
    bytes_free(&payload);
}

void disco_msg(const char *format, ...)
{
    struct bytes text = {0};
    va_list arguments;
    va_start(arguments, format);
    bytes_vprint(&text, format, arguments);
    va_end(arguments);
    send_text("MSG", text.data, text.size);
    bytes_free(&text);
    json_free(expect("OK"));
}
