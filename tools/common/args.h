/* Reading a command line: options in any order, long ones as --name VALUE or --name=VALUE, what is
 * wrong said in words. */
#ifndef HAKUBAN_TOOLS_ARGS_H
#define HAKUBAN_TOOLS_ARGS_H

#include <stdbool.h>
#include <stdint.h>

#include <hakuban/version.h>

enum { EXIT_RUNTIME = 1, EXIT_USAGE = 2 };

typedef struct arg_option {
    const char *name; /* "--bind"; NULL ends a table */
    char letter;      /* 'b', or 0 */
    bool has_value;
    int id; /* above 0 */
} arg_option;

enum { ARG_END = 0, ARG_OPERAND = -1, ARG_ERROR = -2 };

typedef struct arg_reader {
    int argc, index;
    char **argv;
    const char *letters; /* what is left of -abc */
    bool operands_only;  /* after -- */
} arg_reader;

/* The id of the next option, or one of the above. ret_value: the option's value or the operand. An
 * error has been reported. */
int arg_next(arg_reader *reader, const arg_option *options, const char **ret_value);

/* Durations as in URLs: "5s", "250ms", "1m30s"; a number alone is seconds. False: reported as an
 * error of the option. */
bool arg_duration(const char *option, const char *value, uint64_t *ret_ms);
bool arg_number(const char *option, const char *value, uint32_t min, uint32_t max, uint32_t *ret);
/* Not negative and finite. */
bool arg_real(const char *option, const char *value, double *ret);
/* Bytes: a number from 1 on, or one of k, M, G (of 1024) behind it; "none" is UINT64_MAX. */
bool arg_size(const char *option, const char *value, uint64_t *ret);

#endif
