/* A transport of your own: a pair of pipes to a child process. The child exposes, the parent
 * observes; nothing but the pipes connects them. Build: cc custom-transport.c -lhakuban */
#define _GNU_SOURCE
#include <hakuban/hakuban.h>
#include <hakuban/plugin/registry.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The two ends that this process has: given with the registration, as host->param. */
typedef struct pipes {
    int in, out;
} pipes;

typedef struct transport {
    const hakuban_transport_host *host;
} transport;

/* A descriptor has one owner, so each direction is one: what the host waits for on its behalf comes
 * back with it. */
typedef struct direction {
    struct pipe_conn *conn;
    int fd;
} direction;

typedef struct pipe_conn {
    hakuban_carrier *carrier;
    direction in, out;
    char rest[HAKUBAN_MESSAGE_BYTES_MAX]; /* what the pipe did not take */
    size_t rest_begin, rest_end;
    int shut;
} pipe_conn;

static hakuban_status pipe_init(void *self, const hakuban_transport_host *host)
{
    ((transport *)self)->host = host;
    return HAKUBAN_OK;
}

static hakuban_status start(transport *self, pipe_conn *conn, hakuban_carrier *carrier)
{
    pipes *ends = self->host->param;
    conn->carrier = carrier;
    conn->in = (direction){conn, ends->in};
    conn->out = (direction){conn, ends->out};
    fcntl(ends->in, F_SETFL, O_NONBLOCK);
    fcntl(ends->out, F_SETFL, O_NONBLOCK);
    return self->host->fd_set(self->host->host, &conn->in, conn->in.fd, HAKUBAN_READ);
}

static void end(transport *self, pipe_conn *conn, hakuban_status why, const char *text)
{
    self->host->fd_set(self->host->host, &conn->in, conn->in.fd, 0);
    self->host->fd_set(self->host->host, &conn->out, conn->out.fd, 0);
    close(conn->in.fd);
    close(conn->out.fd);
    self->host->closed(conn->carrier, why, text);
}

/* There is one peer, and it is there already. */
static hakuban_status pipe_listen(void *self, void *listener, const hakuban_url *url, char *ret_url,
                                  size_t url_bytes, hakuban_error *reterr)
{
    transport *this = self;
    void *conn;
    snprintf(ret_url, url_bytes, "%s://%s", url->scheme, url->authority);
    hakuban_carrier *carrier = this->host->accepted(this->host->host, listener, "the child", &conn);
    if (!carrier) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_REFUSED, "the child was not accepted");
    }
    hakuban_status status = start(this, conn, carrier);
    if (status < 0) {
        end(this, conn, status, "the pipe cannot be waited for");
        return hakuban_error_set(reterr, status, "the pipe cannot be waited for");
    }
    return HAKUBAN_OK;
}

static void pipe_unlisten(void *self, void *listener)
{
    (void)self;
    (void)listener;
}

static hakuban_status pipe_dial(void *self, void *conn, hakuban_carrier *carrier,
                                const hakuban_url *url, hakuban_error *reterr)
{
    transport *this = self;
    (void)url;
    hakuban_status status = start(this, conn, carrier);
    if (status < 0) {
        return hakuban_error_set(reterr, status, "the pipe cannot be waited for");
    }
    this->host->opened(carrier);
    return HAKUBAN_OK;
}

/* Writes the rest; 0: all has left. */
static int write_rest(pipe_conn *conn)
{
    while (conn->rest_begin < conn->rest_end) {
        ssize_t bytes =
            write(conn->out.fd, conn->rest + conn->rest_begin, conn->rest_end - conn->rest_begin);
        if (bytes < 0) {
            return errno == EAGAIN ? 1 : -1;
        }
        conn->rest_begin += (size_t)bytes;
    }
    conn->rest_begin = conn->rest_end = 0;
    return 0;
}

static hakuban_status pipe_send(void *self, void *conn_, const hakuban_slice *parts,
                                unsigned part_count)
{
    transport *this = self;
    pipe_conn *conn = conn_;
    for (unsigned i = 0; i < part_count; i++) {
        memcpy(conn->rest + conn->rest_end, parts[i].data, parts[i].bytes);
        conn->rest_end += parts[i].bytes;
    }
    if (write_rest(conn) == 0) {
        return HAKUBAN_OK;
    }
    /* A broken pipe shows itself when it is waited for. */
    hakuban_status status =
        this->host->fd_set(this->host->host, &conn->out, conn->out.fd, HAKUBAN_WRITE);
    if (status < 0) {
        end(this, conn, status, "the pipe cannot be waited for");
        return status;
    }
    return HAKUBAN_OK_FULL;
}

static void pipe_close(void *self, void *conn)
{
    end(self, conn, HAKUBAN_ERR_CLOSED, "closed");
}

static void pipe_ready(void *self, void *owner, unsigned events, uint64_t now_ns)
{
    static char data[65536]; /* all calls are on one thread */
    transport *this = self;
    direction *at = owner;
    pipe_conn *conn = at->conn;
    (void)now_ns;
    if (at == &conn->in && (events & HAKUBAN_READ)) {
        ssize_t bytes = read(at->fd, data, sizeof(data));
        if (bytes > 0) {
            this->host->received(conn->carrier, data, (size_t)bytes);
        } else if (bytes == 0 || errno != EAGAIN) {
            end(this, conn, HAKUBAN_ERR_CLOSED, "the other process closed the pipe");
        }
    } else if (at == &conn->out) {
        int left = write_rest(conn);
        if (left < 0) {
            end(this, conn, HAKUBAN_ERR_IO, strerror(errno));
        } else if (left == 0) {
            this->host->fd_set(this->host->host, &conn->out, conn->out.fd, 0);
            this->host->writable(conn->carrier);
        }
    }
}

extern const hakuban_transport_ops pipe_transport;
const hakuban_transport_ops pipe_transport = {
    .size = sizeof(pipe_transport),
    .abi = HAKUBAN_TRANSPORT_ABI,
    .scheme = "pipe",
    .flags = HAKUBAN_TRANSPORT_STREAM,
    .self_bytes = sizeof(transport),
    .listener_bytes = 1,
    .conn_bytes = sizeof(pipe_conn),
    .init = pipe_init,
    .listen = pipe_listen,
    .unlisten = pipe_unlisten,
    .dial = pipe_dial,
    .send = pipe_send,
    .close = pipe_close,
    .ready = pipe_ready,
};

/* -- Using it -- */

#ifndef CUSTOM_TRANSPORT_TABLE_ONLY

static int wait_for(hakuban_contract *contract, hakuban_event_kind kind, hakuban_event *ret)
{
    while (hakuban_contract_next(contract, 5000, ret) >= 0) {
        if (ret->kind == kind) {
            return 1;
        }
        hakuban_event_done(ret);
    }
    return 0;
}

/* Exposes one state, then leaves in an orderly way. */
static int child(hakuban_exchange *exchange, hakuban_descriptor *object)
{
    hakuban_connection *connection = NULL;
    hakuban_contract *exposer = NULL;
    hakuban_event event;
    int sent = 0;
    if (hakuban_exchange_connect(exchange, "pipe://parent", NULL, &connection, NULL) >= 0 &&
        hakuban_expose_object(exchange, object, NULL, &exposer) >= 0 &&
        wait_for(exposer, HAKUBAN_EVENT_SINK_OPEN, &event)) {
        sent = hakuban_sink_send_json(event.sink, "\"hello from the child\"", NULL) >= 0;
        hakuban_event_done(&event);
    }
    sent = sent && hakuban_exchange_close(exchange, 2000) >= 0;
    hakuban_contract_free(exposer);
    hakuban_connection_free(connection);
    return sent;
}

static int parent(hakuban_exchange *exchange, hakuban_descriptor *object)
{
    hakuban_listener *listener = NULL;
    hakuban_contract *observer = NULL;
    hakuban_event event;
    int seen = 0;
    if (hakuban_exchange_listen(exchange, "pipe://child", &listener, NULL) >= 0 &&
        hakuban_observe_object(exchange, object, NULL, &observer) >= 0 &&
        wait_for(observer, HAKUBAN_EVENT_STATE, &event)) {
        hakuban_slice data = hakuban_state_data(event.state);
        printf("%.*s\n", (int)data.bytes, (const char *)data.data);
        hakuban_event_done(&event);
        seen = 1;
    }
    hakuban_contract_free(observer);
    hakuban_listener_free(listener);
    return seen;
}

int main(void)
{
    int down[2], up[2], well = 0;
    if (pipe2(down, O_CLOEXEC) != 0 || pipe2(up, O_CLOEXEC) != 0) {
        return 1;
    }
    signal(SIGPIPE, SIG_IGN);
    pid_t pid = fork(); /* before there is an exchange: one does not survive a fork */
    int is_child = pid == 0;
    pipes mine = is_child ? (pipes){down[0], up[1]} : (pipes){up[0], down[1]};
    close(is_child ? down[1] : down[0]);
    close(is_child ? up[0] : up[1]);

    hakuban_exchange *exchange = NULL;
    hakuban_descriptor *object = NULL;
    if (pid >= 0 && hakuban_exchange_new(NULL, &exchange) >= 0 &&
        hakuban_exchange_add_transport(exchange, &pipe_transport, &mine, NULL) >= 0 &&
        hakuban_descriptor_new(NULL, "\"greeting\"", NULL, 0, &object, NULL) >= 0) {
        well = is_child ? child(exchange, object) : parent(exchange, object);
    }
    hakuban_descriptor_unref(object);
    hakuban_exchange_free(exchange);
    if (is_child) {
        return well ? 0 : 1;
    }
    int how = 0;
    waitpid(pid, &how, 0);
    return well && how == 0 ? 0 : 1;
}

#endif
