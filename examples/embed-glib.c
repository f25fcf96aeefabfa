/* Hakuban inside GLib's main loop: the exchange is one GSource, made of the three calls fd, timeout
 * and turn. No thread of the library.
 *
 *     embed-glib URL [COUNT]
 *
 * Observes everything with the tag "hello" at a router and prints COUNT states (3), with a GLib
 * timer beside it. Build: cc embed-glib.c -lhakuban $(pkg-config --cflags --libs glib-2.0) */
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>

#include <hakuban/hakuban.h>

typedef struct source {
    GSource base;
    GPollFD fd;
    hakuban_exchange *exchange;
    hakuban_queue *queue;
    GMainLoop *loop;
    long count;
} source;

static gboolean prepare(GSource *base, gint *timeout_ms)
{
    *timeout_ms = hakuban_exchange_timeout_ms(((source *)base)->exchange);
    return *timeout_ms == 0;
}

static gboolean check(GSource *base)
{
    source *this = (source *)base;
    return (this->fd.revents & G_IO_IN) || hakuban_exchange_timeout_ms(this->exchange) == 0;
}

static gboolean dispatch(GSource *base, GSourceFunc callback, gpointer user)
{
    source *this = (source *)base;
    hakuban_event event;
    (void)callback;
    (void)user;
    if (hakuban_exchange_turn(this->exchange) < 0) {
        return G_SOURCE_REMOVE;
    }
    while (this->count > 0 && hakuban_queue_next(this->queue, 0, &event) >= 0) {
        if (event.kind == HAKUBAN_EVENT_STATE) {
            hakuban_slice data = hakuban_state_data(event.state);
            printf("%s %.*s\n", hakuban_descriptor_json(event.object), (int)data.bytes,
                   (const char *)data.data);
            fflush(stdout);
            this->count--;
        }
        hakuban_event_done(&event);
    }
    if (this->count <= 0) {
        g_main_loop_quit(this->loop);
    }
    return G_SOURCE_CONTINUE;
}

static gboolean every_second(gpointer user)
{
    (void)user;
    fputs(".", stderr);
    return G_SOURCE_CONTINUE;
}

static void run(hakuban_exchange *exchange, hakuban_queue *queue, long count)
{
    static GSourceFuncs functions = {.prepare = prepare, .check = check, .dispatch = dispatch};
    GMainLoop *loop = g_main_loop_new(NULL, FALSE);
    source *this = (source *)g_source_new(&functions, sizeof(*this));
    this->fd = (GPollFD){.fd = hakuban_exchange_fd(exchange), .events = G_IO_IN};
    this->exchange = exchange;
    this->queue = queue;
    this->loop = loop;
    this->count = count;
    g_source_add_poll(&this->base, &this->fd);
    g_source_attach(&this->base, NULL);
    guint timer = g_timeout_add(1000, every_second, NULL);
    g_main_loop_run(loop);
    g_source_remove(timer);
    g_source_destroy(&this->base);
    g_source_unref(&this->base);
    g_main_loop_unref(loop);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fputs("usage: embed-glib URL [COUNT]\n", stderr);
        return 2;
    }
    hakuban_exchange_options options = {.size = sizeof(options), .drive = HAKUBAN_DRIVE_MANUAL};
    hakuban_exchange *exchange = NULL;
    hakuban_connection *connection = NULL;
    hakuban_contract *contract = NULL;
    hakuban_error error = {.text = "out of memory"};
    int good = hakuban_exchange_new(&options, &exchange) >= 0 &&
               hakuban_exchange_connect(exchange, argv[1], NULL, &connection, &error) >= 0 &&
               hakuban_observe_tag(exchange, "\"hello\"", NULL, &contract, &error) >= 0;
    if (good) {
        run(exchange, hakuban_contract_queue(contract), argc > 2 ? atol(argv[2]) : 3);
    } else {
        fprintf(stderr, "embed-glib: %s\n", error.text);
    }
    hakuban_contract_free(contract);
    hakuban_connection_free(connection);
    hakuban_exchange_free(exchange);
    return good ? 0 : 1;
}
