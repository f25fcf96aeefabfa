/* Reading a command line. getopt_long is not used: it takes abbreviations, which would become
 * promises, and its messages cannot say more than "invalid". */
#define _GNU_SOURCE
#include "common/args.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/report.h"

int arg_next(arg_reader *reader, const arg_option *options, const char **ret_value)
{
    if (!reader->letters || *reader->letters == '\0') {
        reader->letters = NULL;
        if (reader->index >= reader->argc) {
            return ARG_END;
        }
        char *word = reader->argv[reader->index++];
        if (reader->operands_only || word[0] != '-' || word[1] == '\0') {
            *ret_value = word;
            return ARG_OPERAND;
        }
        if (strcmp(word, "--") == 0) {
            reader->operands_only = true;
            return arg_next(reader, options, ret_value);
        }
        if (word[1] == '-') {
            size_t length = strcspn(word, "=");
            for (const arg_option *option = options; option->name; option++) {
                if (strlen(option->name) != length || strncmp(option->name, word, length) != 0) {
                    continue;
                }
                *ret_value = word[length] == '=' ? word + length + 1 : NULL;
                if (!option->has_value && *ret_value) {
                    report("%s takes no value", option->name);
                    return ARG_ERROR;
                }
                if (option->has_value && !*ret_value) {
                    if (reader->index >= reader->argc) {
                        report("%s needs a value", option->name);
                        return ARG_ERROR;
                    }
                    *ret_value = reader->argv[reader->index++];
                }
                return option->id;
            }
            report("unknown option %.*s (see --help)", (int)length, word);
            return ARG_ERROR;
        }
        reader->letters = word + 1;
    }
    char letter = *reader->letters++;
    for (const arg_option *option = options; option->name; option++) {
        if (option->letter != letter) {
            continue;
        }
        if (option->has_value) {
            /* -b VALUE, -bVALUE, -b=VALUE */
            const char *value = reader->letters + (*reader->letters == '=');
            *ret_value = *reader->letters ? value : NULL;
            reader->letters = NULL;
            if (!*ret_value) {
                if (reader->index >= reader->argc) {
                    report("-%c needs a value", letter);
                    return ARG_ERROR;
                }
                *ret_value = reader->argv[reader->index++];
            }
        }
        return option->id;
    }
    report("unknown option -%c (see --help; a value that begins with - goes after --)", letter);
    return ARG_ERROR;
}

bool arg_duration(const char *option, const char *value, uint64_t *ret_ms)
{
    static const struct {
        const char *name;
        uint64_t ns;
    } units[] = {{"", 1000000000},
                 {"s", 1000000000},
                 {"ms", 1000000},
                 {"us", 1000},
                 {"ns", 1},
                 {"m", 60ull * 1000000000},
                 {"h", 3600ull * 1000000000},
                 {"d", 86400ull * 1000000000}};
    const uint64_t ns_max = 365ull * 86400 * 1000000000;
    uint64_t sum_ns = 0;
    const char *at = value;
    bool good = *at != '\0';
    while (good && *at) {
        size_t digits = strspn(at, "0123456789");
        size_t letters = strspn(at + digits, "abcdefghijklmnopqrstuvwxyz");
        uint64_t unit_ns = 0;
        for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
            if (strlen(units[i].name) == letters &&
                strncmp(units[i].name, at + digits, letters) == 0) {
                unit_ns = units[i].ns;
            }
        }
        errno = 0;
        uint64_t number = digits > 0 ? strtoull(at, NULL, 10) : 0;
        if (digits == 0 || unit_ns == 0) {
            good = false;
        } else if (errno != 0 || number > (ns_max - sum_ns) / unit_ns) {
            report("%s %s: more than a year", option, value);
            return false;
        } else {
            sum_ns += number * unit_ns;
            at += digits + letters;
        }
    }
    if (!good) {
        report("%s %s: not a duration such as 5s, 250ms or 1m30s (wrong from character %d)", option,
               value, (int)(at - value) + 1);
        return false;
    }
    *ret_ms = (sum_ns + 999999) / 1000000;
    return true;
}

bool arg_number(const char *option, const char *value, uint32_t min, uint32_t max, uint32_t *ret)
{
    size_t digits = strspn(value, "0123456789");
    errno = 0;
    unsigned long long number = strtoull(value, NULL, 10);
    if (digits == 0 || value[digits] != '\0') {
        report("%s %s: not a whole number", option, value);
        return false;
    }
    if (errno != 0 || number < min || number > max) {
        report("%s %s: must be from %u to %u", option, value, min, max);
        return false;
    }
    *ret = (uint32_t)number;
    return true;
}

bool arg_size(const char *option, const char *value, uint64_t *ret)
{
    static const char units[] = "kMG";
    char *end = NULL;
    if (strcmp(value, "none") == 0) {
        *ret = UINT64_MAX;
        return true;
    }
    errno = 0;
    uint64_t number = *value >= '0' && *value <= '9' ? strtoull(value, &end, 10) : 0;
    const char *unit = end && *end ? strchr(units, *end) : NULL;
    unsigned shift = unit ? 10u * (unsigned)(unit - units + 1) : 0;
    if (errno || number == 0 || end[unit != NULL] != 0 || number > UINT64_MAX >> shift) {
        report("%s %s: neither a size above 0, such as 500M or 2G, nor none", option, value);
        return false;
    }
    *ret = number << shift;
    return true;
}

bool arg_real(const char *option, const char *value, double *ret)
{
    char *end = NULL;
    double number = strtod(value, &end); /* the tools never call setlocale() */
    if (end == value || *end != '\0' || !isfinite(number) || number < 0) {
        report("%s %s: not a number of 0 or more", option, value);
        return false;
    }
    *ret = number;
    return true;
}
