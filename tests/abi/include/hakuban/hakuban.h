/* Everything a user of Hakuban includes. */
#ifndef HAKUBAN_HAKUBAN_H
#define HAKUBAN_HAKUBAN_H

#include "alloc.h"
#include "bytes.h"
#include "connection.h"
#include "contract.h"
#include "descriptor.h"
#include "exchange.h"
#include "inspect.h"
#include "log.h"
#include "queue.h"
#include "state.h"
#include "status.h"
#include "version.h"

#endif
