/* Job control of terminals. */
#define _GNU_SOURCE
#include "common/terminal.h"

#include <sys/types.h>
#include <unistd.h>

bool terminal_is_taken(int fd)
{
    pid_t reader = tcgetpgrp(fd);
    return reader > 0 && reader != getpgrp();
}
