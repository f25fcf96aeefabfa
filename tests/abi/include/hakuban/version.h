/* The release this header belongs to. Versions before 1.0 promise nothing between minor numbers. */
#ifndef HAKUBAN_VERSION_H
#define HAKUBAN_VERSION_H

#define HAKUBAN_VERSION_MAJOR 0
#define HAKUBAN_VERSION_MINOR 1
#define HAKUBAN_VERSION_PATCH 0
#define HAKUBAN_VERSION "0.1.0"

#if defined(__GNUC__)
#define HAKUBAN_API __attribute__((visibility("default")))
#define HAKUBAN_NODISCARD __attribute__((warn_unused_result))
#define HAKUBAN_PRINTF(format_index, first_index)                                                  \
    __attribute__((format(printf, format_index, first_index)))
#else
#define HAKUBAN_API
#define HAKUBAN_NODISCARD
#define HAKUBAN_PRINTF(format_index, first_index)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/**
 * The release of the library that is running, e.g. "0.1.0".
 *
 * @return static text
 * @thread any
 * @since 0.1
 */
HAKUBAN_API const char *hakuban_version(void);

#ifdef __cplusplus
}
#endif

#endif
