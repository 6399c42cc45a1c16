#include "fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#define SILENCE 60 /* seconds after which a server that says nothing is given up */

void files_free(struct files *files)
{
    for (size_t i = 0; i < files->count; i++)
        bytes_free(&files->list[i]);
    free(files->list);
    *files = (struct files){0};
}

static struct bytes *files_add(struct files *files)
{
    struct bytes *list = get_memory((files->count + 1) * sizeof *list);
    if (files->count)
        memcpy(list, files->list, files->count * sizeof *list);
    free(files->list);
    files->list = list;
    list[files->count] = (struct bytes){0};
    return &list[files->count++];
}

/* Appends all that a descriptor gives, and closes it. */
static const char *read_to_end(int fd, struct bytes *out)
{
    static char block[1 << 16];
    ssize_t got;
    while ((got = read(fd, block, sizeof block)) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            const char *why = strerror(errno);
            close(fd);
            return why;
        }
        bytes_add(out, block, (size_t)got);
    }
    close(fd);
    return NULL;
}

const char *fetch_file(const char *path, struct bytes *out)
{
    int fd = open(path, O_RDONLY);
    return fd < 0 ? strerror(errno) : read_to_end(fd, out);
}

static int connect_to(const char *host, const char *port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    struct timeval silence = {.tv_sec = SILENCE};
    int fd = -1;
    if (getaddrinfo(host, port, &hints, &found) != 0)
        return -1;
    for (struct addrinfo *at = found; at && fd < 0; at = at->ai_next) {
        fd = socket(at->ai_family, at->ai_socktype, at->ai_protocol);
        if (fd < 0)
            continue;
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof silence);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &silence, sizeof silence);
        if (connect(fd, at->ai_addr, at->ai_addrlen) != 0) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(found);
    return fd;
}

/* Finds the length that the head of an answer announces; false when it does not. */
static bool content_length(char *head, size_t *length)
{
    for (char *line = strtok(head, "\r\n"); line; line = strtok(NULL, "\r\n")) {
        static const char name[] = "content-length:";
        size_t i = 0;
        while (name[i] && (line[i] | 0x20) == (name[i] | 0x20))
            i++;
        if (!name[i]) {
            *length = (size_t)strtoull(line + i, NULL, 10);
            return true;
        }
    }
    return false;
}

/* Appends what `GET http://host:port<path>` answers. HTTP/1.0: the end of the connection ends the answer. */
static const char *fetch_http(const char *host, const char *port, const char *path, struct bytes *out)
{
    struct bytes ask = {0}, answer = {0};
    int fd = connect_to(host, port);
    if (fd < 0)
        return "its server cannot be reached";
    bytes_print(&ask, "GET %s HTTP/1.0\r\nHost: %s:%s\r\n\r\n", path, host, port);
    ssize_t sent = send(fd, ask.data, ask.size, MSG_NOSIGNAL);
    const char *why = "its server does not listen";
    if (sent == (ssize_t)ask.size)
        why = read_to_end(fd, &answer);
    else
        close(fd);
    bytes_free(&ask);
    bytes_add(&answer, "", 1); /* a zero ends the head when there is no body */
    char *body = why ? NULL : strstr(answer.data, "\r\n\r\n");
    if (!why && (!body || strncmp(answer.data, "HTTP/1.", 7) != 0 || strncmp(answer.data + 8, " 200", 4) != 0))
        why = "its server does not have it";
    if (!why) {
        size_t length, size = answer.size - 1 - (size_t)(body + 4 - answer.data);
        *body = '\0';
        if (content_length(answer.data, &length) && length != size)
            why = "its server sent a part of it only";
        else
            bytes_add(out, body + 4, size);
    }
    bytes_free(&answer);
    return why;
}

/* The text between the scheme of a url and the first slash behind it, as host and port. */
static const char *split_host(const char *rest, const char *path, char host[256], char port[16])
{
    size_t length = (size_t)(path - rest);
    const char *colon = memchr(rest, ':', length);
    size_t name = colon ? (size_t)(colon - rest) : length;
    if (!name || name >= 256 || (colon && length - name - 1 >= 16))
        return "its url has no proper host";
    memcpy(host, rest, name);
    host[name] = '\0';
    if (colon) {
        memcpy(port, colon + 1, length - name - 1);
        port[length - name - 1] = '\0';
    }
    return NULL;
}

/* Reads one file that a node keeps: `rest` is `host/disco/path`. It is here, below the data directory, or the
 * node serves it. */
static const char *fetch_from_node(const char *rest, const struct disco_task *task, struct bytes *out)
{
    static const char place[] = "/disco/";
    char host[256], port[16];
    const char *path = strchr(rest, '/');
    if (!path || strncmp(path, place, strlen(place)) != 0 || strstr(path, "/../"))
        return "its url is not that of a file of a node";
    const char *why = split_host(rest, path, host, port);
    if (why)
        return why;
    struct bytes local = {0};
    struct stat found;
    bytes_print(&local, "%s/%s%c", task->disco_data, path + strlen(place), '\0');
    if (stat(local.data, &found) == 0)
        why = fetch_file(local.data, out);
    else {
        snprintf(port, sizeof port, "%lld", task->disco_port);
        why = fetch_http(host, port, path, out);
    }
    bytes_free(&local);
    return why;
}

/* Reads the files that an index lists: lines of `label url size`. */
static const char *fetch_index(const struct bytes *index, const long long *label, const struct disco_task *task, struct files *files)
{
    const char *line = index->data, *end = index->data + index->size;
    while (line < end) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        struct bytes copy = {0};
        long long number, size;
        int url = 0, url_end = 0;
        if (!newline)
            return "its index is cut off";
        bytes_add(&copy, line, (size_t)(newline - line));
        bytes_add(&copy, "", 1);
        line = newline + 1;
        const char *why = NULL;
        if (sscanf(copy.data, "%lld %n%*s%n %lld", &number, &url, &url_end, &size) != 2
            || strncmp(copy.data + url, "disco://", 8) != 0)
            why = "its index has a line of another form";
        else if (!label || number == *label) {
            struct bytes *file = files_add(files);
            copy.data[url_end] = '\0';
            why = fetch_from_node(copy.data + url + 8, task, file);
            if (!why && file->size != (size_t)size)
                why = "a file of its index has another size";
        }
        bytes_free(&copy);
        if (why)
            return why;
    }
    return NULL;
}

static bool starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static const char *fetch_into(const char *url, size_t size, const long long *label, const struct disco_task *task, struct files *files)
{
    if (starts(url, "raw://")) {
        bytes_add(files_add(files), url + 6, size - 6);
        return NULL;
    }
    if (strlen(url) != size)
        return "its url has a zero byte";
    if (starts(url, "dir://")) {
        struct bytes index = {0};
        const char *why = fetch_from_node(url + 6, task, &index);
        if (!why)
            why = fetch_index(&index, label, task, files);
        bytes_free(&index);
        return why;
    }
    if (starts(url, "disco://"))
        return fetch_from_node(url + 8, task, files_add(files));
    if (starts(url, "http://")) {
        char host[256], port[16] = "80";
        const char *path = strchr(url + 7, '/');
        const char *why = path ? split_host(url + 7, path, host, port) : "its url has no path";
        return why ? why : fetch_http(host, port, path, files_add(files));
    }
    if (starts(url, "file://"))
        url += 7;
    return strstr(url, "://") ? "its url has a scheme that this worker does not know" : fetch_file(url, files_add(files));
}

const char *fetch_url(const char *url, size_t size, const long long *label, const struct disco_task *task, struct files *files)
{
    const char *why = fetch_into(url, size, label, task, files);
    if (why)
        files_free(files);
    return why;
}
