/* The names of the values of public enums, for the output of programs and for statistics. */
#include <hakuban/connection.h>
#include <hakuban/queue.h>
#include <hakuban/state.h>

#include "base/base.h"

static const char unknown[] = "unknown";

const char *hakuban_freshness_text(hakuban_freshness freshness)
{
    switch (freshness) {
    case HAKUBAN_NEVER:
        return "never";
    case HAKUBAN_LIVE:
        return "live";
    case HAKUBAN_STALE:
        return "stale";
    }
    return unknown;
}

const char *hakuban_source_text(hakuban_source source)
{
    switch (source) {
    case HAKUBAN_SOURCE_NONE:
        return "none";
    case HAKUBAN_SOURCE_ASSIGNED:
        return "assigned";
    case HAKUBAN_SOURCE_AWAY:
        return "away";
    }
    return unknown;
}

const char *hakuban_event_kind_text(hakuban_event_kind kind)
{
    switch (kind) {
    case HAKUBAN_EVENT_OPEN:
        return "open";
    case HAKUBAN_EVENT_STATE:
        return "state";
    case HAKUBAN_EVENT_CONDITION:
        return "condition";
    case HAKUBAN_EVENT_CLOSE:
        return "close";
    case HAKUBAN_EVENT_LISTED:
        return "listed";
    case HAKUBAN_EVENT_SINK_OPEN:
        return "sink open";
    case HAKUBAN_EVENT_FLOOR:
        return "floor";
    case HAKUBAN_EVENT_SINK_CLOSE:
        return "sink close";
    case HAKUBAN_EVENT_CONNECTION:
        return "connection";
    case HAKUBAN_EVENT_COMPLETE:
        return "complete";
    }
    return unknown;
}

const char *hakuban_connection_state_text(hakuban_connection_state state)
{
    switch (state) {
    case HAKUBAN_CONNECTION_CONNECTING:
        return "connecting";
    case HAKUBAN_CONNECTION_CONNECTED:
        return "connected";
    case HAKUBAN_CONNECTION_AWAY:
        return "away";
    case HAKUBAN_CONNECTION_REFUSED:
        return "refused";
    case HAKUBAN_CONNECTION_CLOSED:
        return "closed";
    }
    return unknown;
}
